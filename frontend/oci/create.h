// A container, made and waiting for its start.
#pragma once

#include "frontend/oci/bundle.h"
#include "frontend/oci/cgroup/entry.h"
#include "frontend/oci/config/arguments.h"
#include "frontend/oci/container_dir.h"
#include "frontend/oci/engine/console_socket.h"
#include "policy/error.h"

namespace userns::frontend {

// Makes it: all of it is there afterwards, or nothing is. `terminal`: takes the master side of the
// process's terminal, if it has one.
Result<OciRecord> create_container(const Arguments& told, const Bundle& bundle,
                                   const CgroupChoice& cgroup, const TakeTerminal& terminal);

}  // namespace userns::frontend
