// --overlay: a root whose writes go to a throw-away layer in memory. --changes: to a directory. As
// the container's root.
//
// Source: overlayfs in the kernel's documentation, "userxattr". Before Linux 6.6 a tmpfs keeps no
// user attributes, and a directory of the lower layer can't be replaced or renamed there.
#pragma once

#include <string>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// Trees that are attached nowhere, the topmost first; about a dozen of them fit into one option of
// the kernel's.
using Layers = std::vector<Fd>;

// An overlay of them, not attached either. The second: nobody can write to it.
Result<Fd> overlay_tree(const Layers& lower);
Result<Fd> overlay_of(const Layers& lower);

// Where what differs is kept.
struct Changes {
  Fd tree;  // attached nowhere; holds the other two
  Fd upper;
  Fd work;  // the kernel's own
};
// As the caller, whose directory this is.
Result<Changes> open_changes(const std::string& path);
Result<Fd> overlay_kept(const Layers& lower, const Changes& changes);

// The host's own tree: a fresh root, attached on the host's, with an overlay of each of the host's
// top directories but /proc, /sys, /dev, /run and /tmp. One that the host has mounted something
// below cannot be a layer (the kernel will not let a container look under a mount) and is bound
// read-only.
Result<Fd> overlay_host_tree();

}  // namespace userns::frontend
