// A command in a container that runs already.
#pragma once

#include <string>

#include "common/fd.h"
#include "frontend/run/failure.h"
#include "frontend/start/plan/plan.h"
#include "frontend/start/supervise.h"

namespace userns::frontend {

struct JoinWish {
  pid_t pid = 0;                 // of the container's first process
  Fd pidfd;                      // the same: this is what counts
  std::uint64_t namespaces = 0;  // CLONE_NEW* to enter
  Fd leaf;                       // the cgroup to be started in; none: that of this process
  std::string user;              // a name or a number, by the container's own files; empty: root
  std::string group;
};

// Enters all the namespaces at once and runs plan.spec.command there, dressed as everything in the
// container (capabilities, seccomp, limits of plan.spec). Its end, as run()'s.
//
// The container may be hostile. Nothing of the host's is handed in but what the caller's fds 0-2
// are, and a terminal among them is not: the command gets one of the container's own. Until the
// exec the process in there cannot be looked into (not dumpable, with a memory that belongs to the
// host's user namespace) and has no directory of the host's open when it resolves a path. What is
// decided by the container's files is read from inside it, bounded, following no link out.
Step<Ended> join(Plan plan, const JoinWish& wish);

}  // namespace userns::frontend
