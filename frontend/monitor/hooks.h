// Commands of the user's at moments of a container's life, outside of it, as the user.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <span>
#include <string>

#include "policy/error.h"

namespace userns::frontend {

inline constexpr std::chrono::milliseconds kHookTimeout{300000};

struct HookLimits {
  std::chrono::milliseconds timeout = kHookTimeout;  // of each; then it is killed
  int give_up = -1;  // readable, or hung up: nobody wants it any more. -1: that does not happen
  int signals = -1;  // the same
};

// Runs each (frontend/spec/shell_words.h) and waits for it; its stdin is /dev/null. In its
// environment: USERNS_NAME, USERNS_PID (of the container's first process; 0: none), USERNS_STATUS.
// Fails with the first that fails; EINTR: it was given up. A hook that is killed is killed with its
// process group.
Result<void> run_hooks(std::span<const std::string> commands, const std::string& name, pid_t pid,
                       int status, const HookLimits& limits);

}  // namespace userns::frontend
