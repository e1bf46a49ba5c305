#pragma once

#include "frontend/oci/config/arguments.h"
#include "frontend/oci/config/resources.h"
#include "policy/error.h"

namespace userns::frontend {

// What `update` is told: --resources FILE ("-": standard input), or an option per limit.
Result<OciResources> resources_of(const Arguments& told);

}  // namespace userns::frontend
