// --changes DIR: where what differs from --rootfs is kept: DIR/upper, and DIR/work for the kernel.
#pragma once

#include <functional>
#include <string>

#include "common/fd.h"
#include "frontend/start/ids/in_map.h"
#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// Before the start, as the caller: makes DIR/upper and DIR/work where they are missing and gives
// them to the container's root. All or nothing. Without --changes there is nothing to do.
Result<void> prepare_changes(const Plan& plan);

// Does `act` as the root of the ids, with the tree that a start of this Spec (which has changes)
// would have: what it changes is kept.
Result<std::string> work_on_changes(const Spec& spec, const ChosenIds& ids,
                                    const std::function<Result<std::string>(const Fd& tree)>& act);

// The same, also if it has no changes: then on its root file system itself.
Result<std::string> work_on_tree(const Spec& spec, const ChosenIds& ids,
                                 const std::function<Result<std::string>(const Fd& tree)>& act);

// Whether the kernel makes the overlay that a start of this Spec would have; upper/ and work/ are
// made for it and stay.
Result<void> try_changes(const Spec& spec, const ChosenIds& ids);

}  // namespace userns::frontend
