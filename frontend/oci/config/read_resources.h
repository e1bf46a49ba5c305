#pragma once

#include <string_view>

#include "frontend/oci/config/node.h"
#include "frontend/oci/config/resources.h"
#include "policy/error.h"

namespace userns::frontend {

// The object "linux.resources". Rules of devices ask for nothing that no wall holds: in a container
// a device is what is bound there, and nobody in it can make a node. Pure, both.
OciResources read_resources(const Node& node);
// What `update --resources FILE` is given.
Result<OciResources> parse_resources(std::string_view json);

}  // namespace userns::frontend
