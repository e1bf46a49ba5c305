// Where a user's subordinate ids come from: /etc/subuid and /etc/subgid, or the NSS module that
// nsswitch.conf names for `subid:`.
//
// A failure of the source (unsafe file, missing module, crash, short answer) is a refusal, never a
// reason to ask another source (SU-NSS, TF-*).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/asker.h"
#include "common/fd.h"
#include "policy/error.h"
#include "policy/id_range.h"
#include "policy/ids.h"
#include "policy/subid.h"

namespace userns {

struct SubidRanges {
  OwnedRanges owned;
  std::string source;  // "/etc/subuid", "NSS source sss": for messages
  SubidScanner::Skipped skipped;
};

class SubidSource {
 public:
  // Opens the file: before a lock-down. What cannot be opened is an error of read(), since a caller
  // who asks for nothing but an own id needs no policy.
  static SubidSource open(IdKind kind);
  // The ranges of the user `name` (may be empty) with `uid`; an absent file means no ranges. One
  // pass with constant memory. Lines of another name of the same uid are looked at only if `wanted`
  // is not covered without them.
  [[nodiscard]] Result<SubidRanges> read(std::string_view name, Uid uid, const Asker& asker,
                                         std::span<const Extent> wanted) const;

 private:
  IdKind kind_ = IdKind::kUid;
  Result<std::optional<Fd>> file_;
};

// The same at once, for programs without privilege; a child is asked only if it must be.
Result<SubidRanges> find_subids(IdKind kind, std::string_view name, Uid uid);

}  // namespace userns
