// What a container's /dev holds, and what of /proc and /sys is covered.
#pragma once

#include <vector>

#include "common/fd.h"
#include "frontend/oci/config/config.h"
#include "frontend/oci/inside/mounts.h"
#include "policy/error.h"

namespace userns::frontend {

// The host's own nodes: nobody in a user namespace can make one. Of default_devices(), then of
// config.devices; none for those that a mount of the whole /dev has already, and for those that
// put_devices() makes: a FIFO, and without a user namespace a device that the host's /dev lacks.
Result<std::vector<Fd>> open_devices(const OciConfig& config);

// After the mounts: the nodes, and the links that programs expect.
Result<void> put_devices(const OciConfig& config, const OciSources& sources);

// Paths that are to show nothing, and those that are to be read only.
Result<void> cover_paths(const OciConfig& config, const Fd& root, const Fd& null);

}  // namespace userns::frontend
