// Carries out a Plan: makes the container, runs the command in it, cleans up.
#pragma once

#include "frontend/start/plan.h"

namespace userns::frontend {

inline constexpr int kExitOwnFailure = 125;
inline constexpr int kExitNotExecutable = 126;
inline constexpr int kExitNotFound = 127;
inline constexpr int kExitSignalBase = 128;
inline constexpr int kExitReboot =
    133;  // a booted system asks to be started again, as systemd-nspawn has it

// The command's exit status, 128+N where signal N ended it; 126 and 127 where it could not be
// executed or found; 125 where anything before it failed. Failures are reported on stderr in one
// sentence, and nothing is left behind. Uses fds 0-2 and spec.info_fd; call it once, with one
// thread.
int run(const Plan& plan);

}  // namespace userns::frontend
