// What exec brings into the container, seen by the monitor: userns-run anew, which goes in.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/fd.h"
#include "frontend/monitor/control.h"
#include "frontend/run/cgroup/cgroup.h"
#include "frontend/run/cgroup/exec_leaf.h"
#include "policy/error.h"

namespace userns::frontend {

struct Beside {
  pid_t pid = 0;  // of userns-run, which is in our own cgroup; 0: none
  Fd pidfd;
  ExecLeaf leaf;  // of its command

  void signal(int number) const;
};

// Only a process that is in the container's cgroups already may start another one in them. The
// fds, three, become its 0 to 2. `number`: of no earlier one.
Result<Beside> start_beside(const std::string& program, const Request& request,
                            const std::vector<Fd>& fds, const Cgroup& cgroup,
                            const Fd& user_namespace, unsigned number);

}  // namespace userns::frontend
