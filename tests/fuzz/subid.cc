// The subid scanner: what it finds does not depend on how the file is cut, and is the union of the
// lines.
#include "policy/subid.h"

#include <algorithm>

#include "policy/text.h"
#include "tests/fuzz/property.h"

using namespace userns;

namespace {

SubidScanner scan(std::string_view text, std::size_t step) {
  SubidScanner scanner("alice", Uid{1000});
  for (std::size_t at = 0; at < text.size(); at += step) scanner.feed(text.substr(at, step));
  (void)scanner.finish();
  return scanner;
}

bool same(const OwnedRanges& a, const OwnedRanges& b) {
  return std::ranges::equal(a.ranges(), b.ranges()) && a.lines() == b.lines();
}

bool is_union_of_lines(std::string_view text, const OwnedRanges& found) {
  while (!text.empty()) {
    const auto line = parse_subid_line(take_until(text, '\n'));
    if (line && (line->owner == "alice" || line->owner == "1000") && !found.covers(line->range))
      return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const auto text = as_text(data + 1, size - 1);
  const auto whole = scan(text, text.size() + 1);
  const auto pieces = scan(text, 1 + data[0] % 64U);
  must(same(whole.ranges(), pieces.ranges()), "the same ranges however the file is cut");
  must(whole.skipped().line == pieces.skipped().line,
       "the same skipped line however the file is cut");
  std::uint64_t end = 0;
  for (const auto range : whole.ranges().ranges()) {
    must(end == 0 || range.first() > end, "ranges are sorted and do not touch");
    end = range.end();
  }
  if (text.find('\0') == std::string_view::npos && text.size() < 1000 &&
      whole.ranges().ranges().size() < OwnedRanges::kMaxSeparate)
    must(is_union_of_lines(text, whole.ranges()), "every line's range is in the union");
  must(!nss_subid_source(text).empty(), "a source always has a name");
  return 0;
}
