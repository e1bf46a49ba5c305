// The processes of a container, by its cgroup: all of them, wherever they went, and nobody else's.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "frontend/oci/cgroup/note.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// The container's own cgroup in v2; empty: it has none.
std::string cgroup_of(const CgroupNote& note);

// Whether another one has its path now, since it was removed, or was empty and made anew: nothing
// in it is the container's.
bool is_replaced(const CgroupEntry& entry);

Result<std::vector<pid_t>> processes_in(const std::string& cgroup);
// To each; SIGKILL is the kernel's to give, so that nobody escapes by forking.
Result<void> signal_all(const std::string& cgroup, int number);
// Returns when all of them have stopped.
Result<void> freeze(const std::string& cgroup);
Result<void> thaw(const std::string& cgroup);

// Ends who is left in them and takes away all that was made. `ids`: of the container's user
// namespace, whose root may have made others below.
Result<void> remove_cgroups(const CgroupNote& note, const ChosenIds& ids);

}  // namespace userns::frontend
