// The commands that exec has brought into the container: where they run, and what becomes of them
// and of their cgroups when their clients are gone or they have ended.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/fd.h"
#include "frontend/monitor/beside.h"
#include "frontend/monitor/control.h"
#include "frontend/run/cgroup/cgroup.h"
#include "frontend/run/cgroup/exec_leaf.h"
#include "policy/error.h"

namespace userns::frontend {

class Commands {
 public:
  // Both outlive this object.
  Commands(const Cgroup& cgroup, const Fd& user_namespace)
      : cgroup_(cgroup), user_namespace_(user_namespace) {}

  Result<Beside> begin(const std::string& program, const Request& request,
                       const std::vector<Fd>& fds);
  // Its client is gone: it hears that the terminal is, and is killed a moment later.
  void orphan(Beside command);
  // It has ended; `is_killed`: so is all that it has started.
  void leave(Beside command, bool is_killed);
  // A child has ended, perhaps an orphan.
  void reap(pid_t pid);
  void kill_orphans();

  // What is to be done by now, and when there is something again.
  void look_at_clock();
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> next() const;

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Orphan {
    Beside command;
    std::optional<Time> until;  // then it is killed
  };

  void remove_leaves();
  void end(const Beside& command) const;

  const Cgroup& cgroup_;
  const Fd& user_namespace_;
  unsigned begun_ = 0;
  std::vector<Orphan> orphans_;
  ExecLeaves leaves_;
  std::optional<Time> remove_again_;
  int removals_left_ = 0;
};

}  // namespace userns::frontend
