// The privileged act: a user's node in each hierarchy, and his containers' directories below it.
//
//   BASE/            root's; v2: configured or found; v1: where the caller is
//   BASE/UID/        root's, 0711, holds the limits; v1: userns-UID. Its lock serialises all work of one user
//   BASE/UID/NAME/   the user's (v1: root's)
//
// The tree is the only record there is. A caller who is killed half-way (his own cgroup.kill or cgroup.freeze reach
// even a setuid process) leaves empty directories below his own limits, which his next container sweeps.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/caller.h"
#include "common/cgroup_dir.h"
#include "policy/cgroup_rules.h"

namespace userns::cgroup {

// One hierarchy, open. All directories down to `base` are root's alone (TF-PATH).
struct Hierarchy {
  Fd base;
  std::string node;  // the user's directory in it
  Fd home;           // v1: where this process is now
  std::string path;  // of base
};

// The v2 hierarchy, at `configured` or where the host keeps it (CG-BASE).
Result<Hierarchy> open_v2(const std::string& configured, Uid uid);
// Those of v1 that `controllers` name; all of them must be there (CG-CONTROLLER).
Result<Hierarchy> open_v1(std::string_view controller, Uid uid);
// Whether systemd runs and no unit on the way to `path` has Delegate=yes: then only systemd may write there.
bool is_systemds_own(const std::string& path);

// Makes node and container in all hierarchies (the first is v2), one for each part of the grant, sets the limits, hands
// the container over and moves this process there. Unmade where it fails. CG-LIMIT, CG-COUNT, CG-BUSY.
Result<void> enter(const CgroupGrant& grant, const Caller& caller, std::span<const Hierarchy> all);
// Removes an empty container: CG-GONE, CG-BUSY.
Result<void> release(const ContainerName& name, std::span<const Hierarchy> all);
// One line per container, or one line of JSON.
Result<std::string> list(const Hierarchy& v2, bool json);

}  // namespace userns::cgroup
