// The hooks of a bundle: programs that its maker wants run at six points of a container's life.
// They are the caller's, as the engine that wrote the bundle is. Source: config.md, "POSIX-platform
// Hooks".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "frontend/oci/config/config.h"
#include "policy/error.h"

namespace userns::frontend {

// In their order, each with the state on its stdin; fails with the first that fails or that takes
// longer than its timeout, which is then killed. `point`: the name of the list in config.json.
Result<void> run_oci_hooks(const std::vector<OciHook>& hooks, std::string_view point,
                           const std::string& state);

// The same for those whose failure changes nothing any more: all of them run, and each failure is
// told.
void run_late_hooks(const std::vector<OciHook>& hooks, std::string_view point,
                    const std::string& state);

}  // namespace userns::frontend
