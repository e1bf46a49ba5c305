// Commands of the user's at moments of a container's life, outside of it, as the user.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>

#include "policy/error.h"

namespace userns::frontend {

// Runs each (frontend/spec/shell_words.h) and waits for it; its stdin is /dev/null. In its
// environment: USERNS_NAME, USERNS_PID (of the container's first process; 0: none), USERNS_STATUS.
// Fails with the first that fails.
Result<void> run_hooks(std::span<const std::string> commands, const std::string& name, pid_t pid,
                       int status);

}  // namespace userns::frontend
