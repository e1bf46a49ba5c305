#include "policy/subid.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "policy/text.h"

namespace userns {

bool OwnedRanges::add(IdRange range, std::uint64_t line) {
  ++lines_;
  if (shown_size_ < kMaxShown) shown_[shown_size_++] = {range, line};
  // [first, last) are the ranges that touch the new one and melt into it.
  const auto begin = ranges_.begin();
  const auto end = begin + static_cast<std::ptrdiff_t>(size_);
  const auto first = std::lower_bound(begin, end, range, [](IdRange a, IdRange b) { return a.end() < b.first(); });
  auto last = first;
  while (last != end && last->first() <= range.end()) ++last;
  if (first == last) {
    if (size_ == kMaxSeparate) return false;
    std::move_backward(first, end, end + 1);
    *first = range;
    ++size_;
    return true;
  }
  const auto from = std::min(first->first(), range.first());
  const auto to = std::max((last - 1)->end(), range.end());
  *first = *IdRange::make(from, to - from);
  std::move(last, end, first + 1);
  size_ -= static_cast<std::size_t>(last - first) - 1;
  return true;
}

bool OwnedRanges::covers(IdRange wanted) const {
  return std::ranges::any_of(ranges(), [&](IdRange owned) { return owned.contains(wanted); });
}

Result<SubidLine> parse_subid_line(std::string_view line) {
  if (std::ranges::count(line, ':') != 2) return fail("SU-LINE", "is not of the form owner:start:count");
  const auto owner = take_until(line, ':');
  const auto start_text = take_until(line, ':');
  if (owner.empty()) return fail("SU-LINE", "has no owner");
  const auto start = parse_decimal(start_text);
  if (!start) return fail("SU-LINE", cat("start ", quoted(start_text), " ", why_not_decimal(start_text)));
  const auto count = parse_decimal(line);
  if (!count) return fail("SU-LINE", cat("count ", quoted(line), " ", why_not_decimal(line)));
  if (*count == 0) return fail("SU-LINE", "has count 0");
  const auto range = IdRange::make(*start, *count);
  if (!range) return fail("SU-LINE", cat("leaves the id space: the largest id is ", kLargestId));
  return SubidLine{owner, *range};
}

SubidScanner::SubidScanner(std::string_view owner_name, Uid owner_uid)
    : by_name_(owner_name.empty() ? std::string{} : cat(owner_name, ":")), by_uid_(cat(owner_uid.value(), ":")) {}

void SubidScanner::feed(std::string_view chunk) {
  while (!chunk.empty()) {
    const void* const found = std::memchr(chunk.data(), '\n', chunk.size());
    const auto length =
        found == nullptr ? chunk.size() : static_cast<std::size_t>(static_cast<const char*>(found) - chunk.data());
    const auto part = chunk.substr(0, length);
    if (found != nullptr && carried_ == 0 && !overlong_) {
      take_line(part);
    } else {
      if (part.size() > carry_.size() - carried_) overlong_ = true;
      if (!overlong_) {
        std::memcpy(carry_.data() + carried_, part.data(), part.size());
        carried_ += part.size();
      }
      if (found != nullptr) {
        take_line(overlong_ ? std::string_view{} : std::string_view(carry_.data(), carried_));
        carried_ = 0;
        overlong_ = false;
      }
    }
    chunk.remove_prefix(found == nullptr ? length : length + 1);
  }
}

Result<void> SubidScanner::finish() {
  if (carried_ > 0 && !overlong_) take_line({carry_.data(), carried_});
  carried_ = 0;
  overlong_ = false;
  if (too_many_)
    return fail("SU-MANY", cat("the user's lines make more than ", OwnedRanges::kMaxSeparate,
                               " separate ranges: unite some of them"));
  return {};
}

void SubidScanner::take_line(std::string_view line) {
  ++line_;
  // Nearly every line is another user's: the first byte tells most of them apart.
  if (line.empty()) return;
  if ((!by_name_.empty() && line.front() == by_name_.front() && line.starts_with(by_name_)) ||
      (line.front() == by_uid_.front() && line.starts_with(by_uid_)))
    take_owned(line);
}

void SubidScanner::take_owned(std::string_view line) {
  const auto parsed = line.size() > kLongestLine ? Result<SubidLine>(fail("SU-LINE", "is longer than 1023 bytes"))
                                                 : parse_subid_line(line);
  if (parsed) {
    if (!ranges_.add(parsed->range, line_)) too_many_ = true;
  } else if (skipped_.line == 0) {
    skipped_ = {line_, parsed.error().text};
  }
}

std::string_view nss_subid_source(std::string_view nsswitch_conf) {
  constexpr std::string_view kKey = "subid:";
  constexpr std::string_view kSpace = " \t\r\f\v";
  while (!nsswitch_conf.empty()) {
    auto line = take_until(nsswitch_conf, '\n');
    line = line.substr(0, line.find('#'));
    const bool is_key =
        line.size() >= kKey.size() && std::ranges::equal(line.substr(0, kKey.size()), kKey, [](char a, char b) {
          return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b;
        });
    if (!is_key) continue;
    line.remove_prefix(kKey.size());
    const auto start = line.find_first_not_of(kSpace);
    if (start == std::string_view::npos) continue;
    line.remove_prefix(start);
    return line.substr(0, line.find_first_of(kSpace));
  }
  return "files";
}

}  // namespace userns
