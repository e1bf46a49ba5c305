// One more process in a container that runs.
#pragma once

#include "frontend/oci/config/arguments.h"
#include "policy/error.h"

namespace userns::frontend {

// The process's exit status; 0 with --detach.
Result<int> exec_in_container(const Arguments& told);

}  // namespace userns::frontend
