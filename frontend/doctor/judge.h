// What the facts mean for somebody who wants to start containers, and what to do. Pure.
#pragma once

#include "frontend/doctor/facts.h"
#include "frontend/doctor/finding.h"

namespace userns::frontend::doctor {

// In the order of what a start needs: the kernel, the caller, helpers, ids, policy, cgroups, files,
// a start.
Findings judge(const Facts& facts);

}  // namespace userns::frontend::doctor
