// CVE-2019-5736: a container's root makes what is executed in there a link to /proc/self/exe, and
// has the program that came from the host running in its own hands, to write to it.
#pragma once

#include <string>
#include <vector>

#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// Where an id of the container could write to this program's own file, becomes the same program
// from a sealed copy in memory, with these words (none: its own). Returns where there is no need
// (any more), or where it failed.
Result<void> be_out_of_reach(const ChosenIds& ids, std::vector<std::string> words = {});

// The same for a container without a user namespace of its own, whose root is this process's user.
Result<void> be_out_of_own_reach();

}  // namespace userns::frontend
