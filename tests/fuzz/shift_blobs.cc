// ACLs and file capabilities of any bytes: refused, or shifted so that twice is once and back is
// back.
#include "frontend/shift/blobs.h"
#include "tests/fuzz/property.h"

using namespace userns;
using namespace userns::shift;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Shift kShift{.uids = *IdShift::make({*Extent::make(0, 100000, 65536)}, "uid"),
                            .gids = *IdShift::make({*Extent::make(0, 200000, 65536)}, "gid")};
  const auto blob = as_text(data, size);
  Tally tally;
  if (const auto once = shift_acl(blob, kShift, tally)) {
    must(once->size() == blob.size(), "an ACL keeps its length");
    Tally second;
    must(*shift_acl(*once, kShift, second) == *once && second.taken == 0, "twice is once");
    if (tally.given == 0)
      must(*shift_acl(*once, kShift.reversed(), second) == blob, "back is back");
  }
  tally = {};
  if (const auto once = shift_capability(blob, kShift.uids, tally)) {
    Tally second;
    must(*shift_capability(*once, kShift.uids, second) == *once && second.taken == 0,
         "twice is once");
    const auto back = *shift_capability(*once, kShift.uids.reversed(), second);
    // A root 0 that was written in version 3 is written in version 2.
    if (tally.given == 0) must(back == blob || back.size() < blob.size(), "back is back");
  }
  return 0;
}
