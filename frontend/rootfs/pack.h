// A container's tree as a tar. By tar(1), as root of the container's ids.
#pragma once

#include <span>

#include "common/fd.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// `layers`: the topmost first, each shown with these ids. Owners are those inside. Written to
// `out`, a file of the caller's. A signal: EINTR.
Result<void> pack_tree(const ChosenIds& ids, std::span<const Fd> layers, const Fd& out);

}  // namespace userns::frontend
