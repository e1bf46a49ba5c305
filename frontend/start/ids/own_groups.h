// Groups of the caller's that a container is to have, as themselves (--group-add).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// Their numbers. Fails if the caller is not in one of them, or may not map it.
Result<std::vector<std::uint32_t>> own_groups(std::span<const std::string> names);

}  // namespace userns::frontend
