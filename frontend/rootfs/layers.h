// The layers of a container's tree, put together for reading. Runs inside (in_map()), with a mount
// namespace of its own where there are several.
#pragma once

#include <span>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// For InMap::prepare. A mount belongs to the namespace that it was opened in, so what is to be a
// layer is opened again here; one that is attached nowhere is here already.
Result<std::vector<Fd>> layers_here(std::span<const Fd> layers);

// The tree: of several layers, the topmost first, an overlay that nobody can write to.
Result<Fd> merged(std::span<const Fd> layers);

}  // namespace userns::frontend
