// Where in an unpacked archive the root file system is: at the top, or one level down, as images
// of LXC and Incus have it (metadata.yaml beside rootfs/), or in backup/container/rootfs/, as their
// backups have it.
//
// Runs inside (in_map()), as root of the ids.
#pragma once

#include <string>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// If the top is not one, and exactly one directory in it is: what is in that directory becomes the
// top, with its owner, mode and attributes, and all else of the archive is removed. Returns the
// directory's name then, else nothing. An error if there is none and `must` says that one is
// needed.
Result<std::string> find_root_place(const Fd& top, bool must);

}  // namespace userns::frontend
