// config.json of a bundle, read whole: a field that asks for what this runtime does not do is an
// error that names it, and a field that the specification does not know is passed over. Pure.
#pragma once

#include <string_view>

#include "frontend/oci/config/config.h"
#include "policy/error.h"

namespace userns::frontend {

inline constexpr std::size_t kLargestConfig = 4UL << 20U;

Result<OciConfig> parse_config(std::string_view json);

}  // namespace userns::frontend
