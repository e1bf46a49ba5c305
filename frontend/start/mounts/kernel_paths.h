// What of /proc and /sys is the kernel's own business and not a container's: covered, or read-only.
//
// The first wall is the kernel's own: the files below belong to ids that are not mapped. This is
// the second, for programs that poke about by accident and for the day on which the kernel forgets
// one. lock_mounts() holds it in place: root inside can't take it off, but can have a user
// namespace with a /proc of its own, without it. Where the host's root is mapped it is the only
// wall, and no such /proc can be had.
#pragma once

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// `place` (in this mount namespace) shows nothing: an empty directory, or `null`, the device.
Result<void> cover_place(const Fd& place, const Fd& null);
// `place` and all below it can be read only.
Result<void> make_place_read_only(const Fd& place);

// `proc`, `null`: mounts that are attached in this mount namespace; `null` is the device of that
// name. What is not there is left out. The values of the container's own namespaces stay writable,
// and nothing is mounted on them, unless host_root: an entry of /proc/sys that belongs to a
// namespace is another one in a sandbox with that namespace of its own, which then fails to find
// the mount.
Result<void> shield_proc(const Fd& proc, const Fd& null, bool host_root);
// `sys` as a whole is for the caller to make read-only.
Result<void> shield_sys(const Fd& sys, const Fd& null);

}  // namespace userns::frontend
