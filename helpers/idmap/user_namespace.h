// The user namespace of a process, held by an fd. Source: ioctl_nsfs(2).
#pragma once

#include "common/fd.h"
#include "common/process.h"
#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

// The user namespace that a process was in when it was looked at (ioctl_nsfs(2)).
struct UserNamespace {
  Fd fd;
  Uid owner{0};           // the user who made it
  bool is_child = false;  // its parent is this process's own
};
// Fails where the kernel does not let us look (IM-CHILD).
Result<UserNamespace> user_namespace_of(const Process& process);

}  // namespace userns
