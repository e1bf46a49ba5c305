// What happens to a container that is there: start, kill, delete.
#pragma once

#include <string>
#include <vector>

#include "frontend/oci/config/resources.h"
#include "frontend/oci/container_dir.h"
#include "policy/error.h"

namespace userns::frontend {

Result<void> start_container(const std::string& root, const std::string& id);

// To its first process, or to all of its processes.
Result<void> kill_container(const std::string& root, const std::string& id, int number, bool all);

// Stops all of its processes, or has them go on.
Result<void> pause_container(const std::string& root, const std::string& id, bool pause);

// New limits; those that are not named stay.
Result<void> update_container(const std::string& root, const std::string& id,
                              const OciResources& resources);

// `force`: what runs is killed first, and what is not there is well.
Result<void> delete_container(const std::string& root, const std::string& id, bool force);

// Numbers of the processes that are in its cgroup or, without one, in its pid namespace.
Result<std::vector<pid_t>> processes_of(const ContainerDir& dir, const OciRecord& record);

}  // namespace userns::frontend
