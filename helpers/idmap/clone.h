// The act of userns-idmap: a detached, idmapped clone of a directory tree whose flags are locked.
//
// Source: open_tree(2), mount_setattr(2), mount_namespaces(7), "Restrictions on mount namespaces".
#pragma once

#include "common/fd.h"
#include "policy/error.h"
#include "policy/tree_rules.h"

namespace userns::idmap {

// The whole tree at `directory`, with every mount below it, so that nothing comes to light that a
// mount covers. Ids on disk are the inside ids of `userns`, ids of the mount its outside ids. Every
// mount in it is nodev, and read-only where the grant says so.
//
// Each flag (these, and nosuid, noexec and read-only of the source) is locked: no user namespace
// can take it off, although its root may move the mount where it likes. The kernel locks flags when
// it copies a mount namespace into a user namespace of less privilege, so a child of this process
// has that done and clones once more from there.
//
// Needs CAP_SYS_ADMIN permitted. Nothing is left where it fails: a detached mount dies with its
// fds, a mount namespace with its process. ID-CLONE: the tree is not in this mount namespace, or
// `mounts`, /proc/self/mountinfo, has one that the kernel would leave out of a clone.
// ID-FILESYSTEM: a file system in it knows no idmapped mounts. ID-LOCK: the flags cannot be locked.
Result<Fd> locked_clone(const TreeGrant& grant, const Fd& directory, const Fd& userns,
                        const Fd& mounts);

// Sends `mount` over `socket`, a Unix socket, with one byte of data. Never waits. ID-SOCKET.
Result<void> send_mount(const Fd& socket, const Fd& mount);

}  // namespace userns::idmap
