// What of /proc and /sys is the kernel's own business and not a container's: covered, or read-only.
//
// For programs that poke about by accident, and for a root inside who is somebody on the host, too.
// It is no wall: root inside may take the covers away, as every mount of his namespace. The wall is
// that the files below belong to an id that is not mapped.
#pragma once

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// `proc`, `null`: mounts that are attached in this mount namespace; `null` is the device of that
// name. What is not there is left out. The values of the container's own namespaces stay writable.
Result<void> shield_proc(const Fd& proc, const Fd& null);
// `sys` as a whole is for the caller to make read-only.
Result<void> shield_sys(const Fd& sys, const Fd& null);

}  // namespace userns::frontend
