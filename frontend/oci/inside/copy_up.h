// "tmpcopyup": a tmpfs begins with what it covers.
#pragma once

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// Whether the owner and the mode of `from` itself are copied, too.
enum class CopyTop : unsigned char { kYes, kNo };

// Directories, files and links of `from` into `to`, with owners and modes; no link is followed, and
// nodes and sockets are left out. Both are directories inside; the tree may be a stranger's.
Result<void> copy_up(const Fd& from, const Fd& to, CopyTop top);

}  // namespace userns::frontend
