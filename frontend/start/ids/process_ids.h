// The id maps and the state of a process, by the host's /proc.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// As this process's own user namespace sees them; writer is nobody. The caller holds a pidfd and
// asks it afterwards whether the number was still that process's.
Result<ChosenIds> ids_of_process(pid_t pid);

// The lines of a uid_map or gid_map; lines of another form are left out. Pure.
std::vector<Extent> parse_map_file(std::string_view text);

// /proc/PID/stat from its third field on: the name before it may hold anything. Empty where there
// is no such process.
std::string stat_of_process(pid_t pid);

// Whether a process is still what its parent forked, or ended as that. A number that is free is
// not.
bool has_not_execed(pid_t pid);

// Whether a process is about to end, or has ended: what it holds open closes now.
bool is_dying(pid_t pid);

}  // namespace userns::frontend
