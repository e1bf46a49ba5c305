#include "policy/subid.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "policy/names.h"
#include "policy/text.h"

namespace userns {

bool OwnedRanges::add(IdRange range, std::uint64_t line) {
  ++lines_;
  if (shown_.size() < kMaxShown) shown_.push_back({range, line});
  // [first, last) are the ranges that touch the new one and melt into it.
  const auto first =
      std::ranges::find_if(ranges_, [&](IdRange r) { return r.end() >= range.first(); });
  const auto last =
      std::find_if(first, ranges_.end(), [&](IdRange r) { return r.first() > range.end(); });
  if (first == last) {
    if (ranges_.size() == kMaxSeparate) return false;
    ranges_.insert(first, range);
    return true;
  }
  const auto from = std::min(first->first(), range.first());
  const auto to = std::max(std::prev(last)->end(), range.end());
  *first = *IdRange::make(from, to - from);
  ranges_.erase(std::next(first), last);
  return true;
}

bool OwnedRanges::covers(IdRange wanted) const {
  return std::ranges::any_of(ranges_, [&](IdRange owned) { return owned.contains(wanted); });
}

Result<SubidLine> parse_subid_line(std::string_view line) {
  if (std::ranges::count(line, ':') != 2)
    return fail("SU-LINE", "is not of the form owner:start:count");
  const auto owner = take_until(line, ':');
  const auto start_text = take_until(line, ':');
  if (owner.empty()) return fail("SU-LINE", "has no owner");
  const auto start = parse_decimal(start_text);
  if (!start)
    return fail("SU-LINE",
                concat("has start ", quoted(start_text), ", which ", why_not_decimal(start_text)));
  const auto count = parse_decimal(line);
  if (!count)
    return fail("SU-LINE", concat("has count ", quoted(line), ", which ", why_not_decimal(line)));
  if (*count == 0) return fail("SU-LINE", "has count 0");
  const auto range = IdRange::make(*start, *count);
  if (!range) return fail("SU-LINE", concat("leaves the id space: the largest id is ", kLargestId));
  return SubidLine{owner, *range};
}

SubidScanner::SubidScanner(std::string_view owner_name, Uid owner_uid,
                           std::span<const Extent> wanted, IsSameUser is_same_user)
    : by_name_(owner_name.empty() ? concat(owner_uid.value(), ":") : concat(owner_name, ":")),
      by_uid_(concat(owner_uid.value(), ":")),
      wanted_(wanted),
      is_same_user_(std::move(is_same_user)) {}

void SubidScanner::feed(std::string_view chunk) {
  while (!chunk.empty()) {
    const auto* const newline =
        static_cast<const char*>(std::memchr(chunk.data(), '\n', chunk.size()));
    const auto part = newline == nullptr ? chunk : std::string_view(chunk.data(), newline);
    chunk.remove_prefix(part.size() + (newline == nullptr ? 0 : 1));
    // Only a line that a chunk cuts is copied, and no more of it than tells that it is too long.
    if (newline == nullptr || !carry_.empty())
      carry_ += part.substr(0, kLongestLine + 1 - carry_.size());
    if (newline == nullptr) return;
    take_line(carry_.empty() ? part : carry_);
    carry_.clear();
  }
}

Result<void> SubidScanner::finish() {
  if (!carry_.empty()) take_line(carry_);
  carry_.clear();
  if (!too_many_) return {};
  return fail("SU-MANY", concat("the user's lines make more than ", OwnedRanges::kMaxSeparate,
                                " separate ranges: unite some of them"));
}

void SubidScanner::take_line(std::string_view line) {
  ++line_;
  // Nearly every line is another user's: the first byte tells most of them apart.
  if (line.empty()) return;
  const bool may_be = line.front() == by_name_.front() || line.front() == by_uid_.front();
  const bool is = may_be && (line.starts_with(by_name_) || line.starts_with(by_uid_));
  if (!is && (wanted_.empty() || !is_by_other_name(line))) return;
  const auto parsed = line.size() > kLongestLine
                          ? Result<SubidLine>(fail("SU-LINE", "is longer than 1023 bytes"))
                          : parse_subid_line(line);
  if (!parsed && skipped_.line == 0) skipped_ = {line_, parsed.error().text};
  if (parsed && !ranges_.add(parsed->range, line_)) too_many_ = true;
}

bool SubidScanner::is_by_other_name(std::string_view line) const {
  const auto parsed = parse_subid_line(line);
  const auto touches = [&](const Extent& extent) {
    return extent.outside().overlaps(parsed->range);
  };
  return parsed && std::ranges::any_of(wanted_, touches) && is_same_user_(parsed->owner);
}

bool login_defs_says_yes(std::string_view text, std::string_view key) {
  constexpr std::string_view kBlanks = " \t\"";
  bool yes = false;  // the last line counts
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    if (!line.starts_with(key) || line.find_first_of(kBlanks) != key.size()) continue;
    line.remove_prefix(key.size());
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    yes = line.substr(0, line.find_first_of(kBlanks)) == "yes";
  }
  return yes;
}

std::string_view nss_subid_source(std::string_view nsswitch_conf) {
  const auto words = nss_words(nsswitch_conf, "subid:");
  return words.empty() ? "files" : words.substr(0, words.find_first_of(" \t\r\f\v"));
}

}  // namespace userns
