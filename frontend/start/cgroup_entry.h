// How a run gets into a cgroup of its own (frontend/run/cgroup/cgroup.h), and what is set there.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "frontend/run/cgroup/cgroup.h"
#include "frontend/run/cgroup/release.h"
#include "frontend/start/ids/choose_ids.h"
#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// Whether there is a systemd manager of the user's.
bool has_user_manager();

// Becomes `program`, which is to become this program again, with the same pid and these words
// (none: its own). Returns only where that failed.
Error begin_again_by(std::vector<std::string> program, std::vector<std::string> words = {});

// A cgroup of the caller's becomes the container's root's, to make others below; those below it go.
// Nothing to do where no helper maps that root: then it is the caller.
Result<void> give_leaf_to_root_inside(const Fd& leaf, const ChosenIds& ids);
Result<void> sweep_as_root_inside(const Fd& leaf, const ChosenIds& ids);

// Whether this caller could have the cgroup that a Spec asks for, now: a refusal when they are
// asked for is worth more than one at the start. Finds out by entering a cgroup, and leaves none.
Result<void> check_way_to_cgroup(const Spec& spec);

// Where spec.cgroup asks for it and this process has none yet: becomes userns-cgroup or
// systemd-run, which become this program again, with the same pid and these words (none: its
// own), in a cgroup of the caller's. So this returns in the second life.
// The cgroup is called after `container`; empty: a throw-away one.
Result<Cgroup> enter_cgroup(const Plan& plan, std::string_view container,
                            std::vector<std::string> words = {});

// To be called after the clone, for which the cgroup still has to be the caller's: a root inside
// who is not the caller may then make cgroups.
Result<void> give_to_root_inside(const Cgroup& cgroup, const Plan& plan);

}  // namespace userns::frontend
