// The side of the start that is inside: from the clone to the exec.
#pragma once

#include <array>
#include <csignal>
#include <string>

#include "common/fd.h"
#include "frontend/run/channel.h"
#include "frontend/start/plan/plan.h"

namespace userns::frontend {

// What the starting process has prepared for the one inside.
struct Inheritance {
  Channel channel;
  std::array<Fd, 3>
      stdio;  // in place of the caller's terminal; none where the caller's fd may be handed in
  sigset_t signal_mask{};             // the caller's own
  pid_t starter = 0;                  // pid of the starting process
  std::uint64_t left_to_unshare = 0;  // CLONE_NEW* that clone3 did not make
};

// Never returns: the command runs, or a failure was sent through the channel.
[[noreturn]] void run_inside(const Plan& plan, const Inheritance& inheritance);

// The same for a command that comes later, in a process that is in the container's namespaces
// already. `user` and `group`: by the container's files; they become the plan's.
[[noreturn]] void run_joined(Plan plan, const Inheritance& inheritance, const std::string& user,
                             const std::string& group);

}  // namespace userns::frontend
