// A process of the caller's, in which a helper runs for a while: it ends as a command of theirs, so
// what they set up around it is set aside and given back, never read.
//
// Left alone throughout: cwd, rlimits, open fds, groups, signal dispositions. Source: execve(2),
// getauxval(3).
#pragma once

#include <sys/types.h>

#include <csignal>
#include <string_view>

#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

// The rule of exec()'s error.
inline constexpr std::string_view kExecFailed = "ST-EXEC";

class CallerProcess {
 public:
  // Blocks all signals, sets umask 022 and the slack of timers, empties the environment (ST-STATE).
  // Of the fds 0-2 none is closed: the C library opens them on /dev/null before main() in a setuid
  // program.
  static Result<CallerProcess> begin();

  // After the last privilege is gone: gives signal mask, umask, slack and the whole environment
  // back (that the dynamic loader cut, too) and becomes the command. `argv` is main's, from the
  // command's first word on. Returns only where the command can't be executed.
  Error exec(char** argv) const;

 private:
  sigset_t mask_{};
  mode_t umask_ = 0;
  unsigned long slack_ = 0;
};

// All three uids become `uid`, no capability stays; read back (PR-DROP). Needs CAP_SETUID
// permitted. What a process that is locked down can do.
Result<void> step_down_for_good(Uid uid);

// The same as the end of such a process's privilege, verified like drop_all_but().
Result<void> become_for_good(Uid uid);

}  // namespace userns
