#pragma once

#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// Finds the caller's ids (subid files or NSS: the helpers' own code) and decides. Changes nothing.
Result<Plan> make_plan(const Spec& spec);

// For a start: with the caller's home and desktop, if they are to go in (mounts/desktop.h).
Result<Plan> make_plan_to_start(Spec spec);

}  // namespace userns::frontend
