// What shift and convert have in common: the shift itself, as root or inside of a namespace of the
// caller's ids.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "frontend/shift/session.h"
#include "frontend/spec/spec.h"
#include "frontend/spec/verb.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// --cross-mounts, --strict, --dry-run, --jobs, --log.
Result<shift::ShiftWishes> common_wishes(const Words& words);

// Those of a container with this Spec; those of --map, which may be missing.
Result<ChosenIds> ids_of_spec(const Result<Spec>& spec);
Result<ChosenIds> ids_of_map(const Words& words);

// From what a container calls an id to what the host does.
Result<shift::Shift> into_container(const ChosenIds& ids);

// As shift_trees(). Root does it directly; others in a namespace of the ids that the shift speaks
// of, which newuidmap and newgidmap must give them. Progress is shown on a terminal. INT, TERM, HUP
// and QUIT end it in good order.
Result<std::string> shift_as_caller(const std::vector<std::string>& directories,
                                    shift::ShiftWishes wishes);

}  // namespace userns::frontend
