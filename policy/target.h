// How a caller names a process: "1234", "fd:5" (a /proc/PID directory or a pidfd).
#pragma once

#include <string_view>
#include <variant>

#include "policy/error.h"

namespace userns {

struct ByPid {
  int pid;  // > 0
};
struct ByFd {
  int fd;  // >= 0, inherited from the caller
};
using Target = std::variant<ByPid, ByFd>;

// Rule IM-TARGET: a strict decimal pid, or "fd:" and a strict decimal.
Result<Target> parse_target(std::string_view text);

}  // namespace userns
