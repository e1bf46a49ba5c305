// How a run gets into a cgroup of its own (frontend/run/cgroup/cgroup.h), and what is set there.
#pragma once

#include <string>
#include <vector>

#include "frontend/run/cgroup/cgroup.h"
#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// Whether this caller could have the cgroup that a Spec asks for, now: a refusal when they are
// asked for is worth more than one at the start. Finds out by entering a cgroup, and leaves none.
Result<void> check_way_to_cgroup(const Spec& spec);

// Where spec.cgroup asks for it and this process has none yet: becomes userns-cgroup or
// systemd-run, which become this program again, with the same pid and these words (none: its
// own), in a cgroup of the caller's. So this returns in the second life.
Result<Cgroup> enter_cgroup(const Plan& plan, std::vector<std::string> words = {});

// To be called after the clone, for which the cgroup still has to be the caller's: a root inside
// who is not the caller may then make cgroups.
Result<void> give_to_root_inside(const Cgroup& cgroup, const Plan& plan);

}  // namespace userns::frontend
