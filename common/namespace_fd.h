// A network namespace, held by an fd, and whose it is. All facts come from that one fd.
//
// Source: ioctl_nsfs(2), user_namespaces(7).
#pragma once

#include "common/fd.h"
#include "policy/error.h"
#include "policy/ids.h"
#include "policy/target.h"

namespace userns {

struct NetNamespace {
  Fd fd;
  bool ours = false;  // the one this process is in
  // Of the user namespace that it belongs to, or of the ancestor of that just below our own: who
  // that is has all capabilities in it, by the kernel's rule. Root, where it belongs to our own
  // user namespace.
  Uid owner{0};
};

// An inherited fd (which stays open), or the namespace of a process, opened with the caller's own
// right to look at it (ptrace(2), PTRACE_MODE_READ_FSCREDS): the process's effective uid must be
// the caller's at this time, and no capability is effective. NR-TARGET where there is no such thing
// or no such right, in the same words; NR-NETNS where it is something else.
Result<NetNamespace> open_net_namespace(const Target& target);

}  // namespace userns
