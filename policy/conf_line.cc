#include "policy/conf_line.h"

#include <algorithm>

#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

bool is_control(char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 127; }

}  // namespace

std::string_view ConfLine::next() {
  constexpr std::string_view kBlanks = " \t", kEnds = " \t#";
  const auto began = std::min(line_.find_first_not_of(kBlanks, at_), line_.size());
  at_ = std::min(line_.find_first_of(kEnds, began), line_.size());
  const auto word = line_.substr(began, at_ - began);
  if (word.empty()) at_ = line_.size();  // a comment goes on to the end
  return word;
}

std::unexpected<Error> ConfLine::refuse(std::string_view rule, std::string_view at,
                                        std::string_view what) const {
  return fail(rule, concat(path_, ":", number_, ":", at.data() - line_.data() + 1, ": ", what));
}

Result<void> each_conf_line(
    std::string_view path, std::string_view text, std::string_view rule,
    const std::function<Result<void>(std::string_view first, ConfLine& line)>& take) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto whole = take_until(text, '\n');
    ConfLine line(path, whole, number);
    const auto control = std::ranges::find_if(whole, is_control);
    if (control != whole.end())
      return line.refuse(rule, {&*control, 1},
                         "a control character: is this a text file with Unix line ends?");
    const auto first = line.next();
    if (first.empty()) continue;
    TRY(take(first, line));
  }
  return {};
}

}  // namespace userns
