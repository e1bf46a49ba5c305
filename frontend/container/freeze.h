// Stopping all processes of a container where they are, and letting them go on.
#pragma once

#include <string>

#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// Returns by what means: its cgroup, or signals where it has none.
Result<std::string> freeze(const Container& container);
Result<std::string> thaw(const Container& container);

// By its cgroup, as the state has it. Waits until it is done.
Result<std::string> freeze_cgroup(const std::string& path);
Result<std::string> thaw_cgroup(const std::string& path);

}  // namespace userns::frontend
