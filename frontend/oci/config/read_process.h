#pragma once

#include <string_view>

#include "frontend/oci/config/config.h"
#include "frontend/oci/config/node.h"
#include "policy/error.h"

namespace userns::frontend {

// Pure, both.
OciProcess read_process(const Node& process);
// What `exec --process FILE` is given.
Result<OciProcess> parse_process(std::string_view json);

}  // namespace userns::frontend
