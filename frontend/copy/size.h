// What the files of a container's own take on disk.
//
//   PATH/NAME/   everything below: its root file system or what differs from the base's, snapshots,
//                logs. What it shares with others (base trees, adopted directories) is not its own.
#pragma once

#include <cstdint>

#include "common/fd.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// In a process with the container's ids and the caller's, in bytes. Each inode counts once, however
// many names it has; what is mounted below is left out; what vanishes meanwhile does not count.
Result<std::uint64_t> own_size_of(const Container& container);

// The walk itself: everything below `top`, and `top`. Its memory and its open files are bounded.
Result<std::uint64_t> size_below(const Fd& top);

}  // namespace userns::frontend
