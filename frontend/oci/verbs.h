// The verbs of userns-oci.
#pragma once

#include "frontend/oci/config/arguments.h"
#include "policy/error.h"

namespace userns::frontend {

// The exit status, where it is not a failure of ours.
Result<int> run_verb(const Arguments& told);

}  // namespace userns::frontend
