#include "frontend/policy_tool/check/ids_conf.h"

#include "frontend/policy_tool/check/checks.h"
#include "policy/conf_line.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kRule = "IC-LINE";

std::optional<IdRange> range_of(std::string_view word) {
  const auto first = parse_decimal(take_until(word, '-')), last = parse_decimal(word);
  if (!first || !last || *last < *first || *last > kLargestId) return std::nullopt;
  return IdRange::make(*first, *last - *first + 1);
}

Result<void> take(std::string_view key, ConfLine& line, IdsConf& conf) {
  if (key != "ranges" && key != "user_names")
    return line.refuse(kRule, key,
                       concat(quoted(key), " is not a key: write ranges or user_names"));
  if (const auto equals = line.next(); equals != "=")
    return line.refuse(kRule, equals,
                       concat("write \"", key, " = ...\", with blanks around \"=\""));
  for (auto word = line.next(); !word.empty(); word = line.next()) {
    const auto range = key == "ranges" ? range_of(word) : std::nullopt;
    if (range)
      conf.ranges.push_back(*range);
    else if (key == "user_names")
      conf.user_names.emplace_back(word);
    else
      return line.refuse(
          kRule, word,
          concat(quoted(word), " is not a range: write FIRST-LAST, such as 1000000-1999999"));
  }
  return {};
}

}  // namespace

IdsConf read_ids_conf(std::string_view path, std::string_view text, std::vector<Finding>& found) {
  IdsConf conf;
  for (const auto& line : lines_of(text, path)) {
    const auto taken = each_conf_line({}, line.text, kRule, [&](std::string_view key, ConfLine& l) {
      return take(key, l, conf);
    });
    if (!taken)
      found.push_back(from_parser(line, taken.error(),
                                  "what the line means is not known, so grant refuses to guess"));
  }
  return conf;
}

}  // namespace userns::frontend
