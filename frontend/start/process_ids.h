// The id maps of a process that runs, by the host's /proc.
#pragma once

#include <sys/types.h>

#include <string_view>
#include <vector>

#include "frontend/start/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// As this process's own user namespace sees them; writer is nobody. The caller holds a pidfd and asks it afterwards
// whether the number was still that process's.
Result<ChosenIds> ids_of_process(pid_t pid);

// The lines of a uid_map or gid_map; lines of another form are left out. Pure.
std::vector<Extent> parse_map_file(std::string_view text);

}  // namespace userns::frontend
