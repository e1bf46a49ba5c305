// How a caller names a process, or what belongs to one.
#pragma once

#include <cstdint>
#include <string_view>

#include "policy/error.h"

namespace userns {

struct Target {
  enum class Kind : std::uint8_t { kPid, kFd, kPidfd } kind = Kind::kPid;
  int number = 0;  // a pid > 0, or an fd >= 0 that the caller has left open
};

// "1234", or "fd:5": a /proc/PID directory or a pidfd (IM-TARGET).
Result<Target> parse_target(std::string_view text);
// A network namespace: "fd:5", or of a process: "pidfd:5", "pid:1234" (NR-TARGET).
Result<Target> parse_netns(std::string_view text);

}  // namespace userns
