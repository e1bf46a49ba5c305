// The ids inside of extended attributes: POSIX ACLs and file capabilities, as getxattr(2) gives
// them. Pure.
//
// Source: linux/posix_acl_xattr.h, linux/capability.h (struct vfs_ns_cap_data), capabilities(7)
// "Namespaced file capabilities". Total functions: a blob of any bytes is shifted, or refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "frontend/shift/id_shift.h"
#include "policy/error.h"

namespace userns::shift {

// What became of the ids of one inode.
struct Tally {
  std::uint32_t taken = 0;     // in the shift's range
  std::uint32_t given = 0;     // where the shift leads already
  std::uint32_t foreign = 0;   // neither
  std::uint32_t unmapped = 0;  // the kernel has no number for it here
  void add(const IdShift& shift, std::uint32_t id);
};

// system.posix_acl_access, system.posix_acl_default.
Result<std::string> shift_acl(std::string_view blob, const Shift& shift, Tally& tally);

// security.capability: a set of root 0 is written in version 2, of any other root in version 3, as
// the kernel shows them.
Result<std::string> shift_capability(std::string_view blob, const IdShift& uids, Tally& tally);

}  // namespace userns::shift
