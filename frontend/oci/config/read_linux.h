#pragma once

#include "frontend/oci/config/config.h"
#include "frontend/oci/config/node.h"

namespace userns::frontend {

// The object "linux" of a config.json. Pure.
void read_linux(const Node& node, OciConfig& config);

}  // namespace userns::frontend
