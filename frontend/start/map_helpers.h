// Has the ids of a new user namespace mapped: by newuidmap and newgidmap, side by side, or directly
// where the kernel takes that from the caller.
#pragma once

#include <sys/types.h>

#include <functional>

#include "frontend/start/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// The helpers are the installed ones of this build, or those on PATH. What they say on stderr becomes
// the error's text. With spec.wait, a map that is there already stays. `meanwhile` is called while they run.
Result<void> map_ids(const Plan& plan, pid_t target, const std::function<Result<void>()>& meanwhile);

}  // namespace userns::frontend
