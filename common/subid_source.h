// Where a user's subordinate ids come from: /etc/subuid and /etc/subgid, or the NSS module that
// nsswitch.conf names for `subid:`.
//
// A failure of the source (unsafe file, missing module, crash, short answer) is a refusal, never a
// reason to ask another source (SU-NSS, TF-*).
#pragma once

#include <string>
#include <string_view>

#include "policy/error.h"
#include "policy/ids.h"
#include "policy/subid.h"

namespace userns {

struct SubidRanges {
  OwnedRanges owned;
  std::string source;  // "/etc/subuid", "NSS source sss": for messages
  SubidScanner::Skipped skipped;
};

// The ranges of the user `name` (may be empty) with `uid`. An absent file means no ranges. Reads a
// file in one pass with constant memory; asks an NSS module (libsubid_NAME.so) in a forked child
// that holds no privilege, is not dumpable and never execs. Call it without effective capabilities.
Result<SubidRanges> find_subids(IdKind kind, std::string_view name, Uid uid);

}  // namespace userns
