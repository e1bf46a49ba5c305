// What a process gets from its parent besides fds, environment and working directory, and what of
// it a container's command is not to have. userns-run(1), "What the command inherits", has the
// table.
//
// Source: keyrings(7), personality(2), execve(2), fork(2).
#pragma once

#include "policy/error.h"

namespace userns::frontend {

// For the process that becomes the command, at a start and at an exec alike, once it is root inside
// and before its system call filter: the caller's session keyring is left for a new, empty one, and
// what weakens programs is taken off the personality, as the kernel does for setuid programs.
Result<void> leave_what_is_the_callers();

}  // namespace userns::frontend
