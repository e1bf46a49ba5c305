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

// A run with a name. Its cgroup is called after the container; `earlier`: the directory of that
// cgroup, if an earlier life of this run was in it.
struct NamedRun {
  std::string_view container;
  std::string_view earlier;
  std::vector<std::string> words;  // this program's, for a second life
};

// Where spec.cgroup asks for it and this process has none yet: becomes userns-cgroup or
// systemd-run, which become this program again in a cgroup of the caller's. So this returns in the
// second life. A throw-away run keeps its pid and words. A named one begins there as a new process,
// in a session of its own, which is sooner than to move there; this one waits for its end and has
// the cgroup removed.
Result<Cgroup> enter_cgroup(const Plan& plan, const NamedRun& run = {});

// To be called after the clone, for which the cgroup still has to be the caller's: a root inside
// who is not the caller may then make cgroups.
Result<void> give_to_root_inside(const Cgroup& cgroup, const Plan& plan);

}  // namespace userns::frontend
