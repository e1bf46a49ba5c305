// The privileged act: a user's cgroup in each hierarchy, and the containers' directories below it.
//
//   BASE/            root's; v2: configured or found; v1: configured, or where the caller is
//   BASE/UID/        root's, 0711, holds the limits and stays; v1: userns-UID. Its lock
//                    serialises all work of one user
//   BASE/UID/NAME/   the user's (v1: root's)
//   BASE/UID/NAME/monitor/   the user's: where a process of `spawn` begins (v2)
//
// The tree is the only record. A call that is killed half-way (the caller's cgroup.kill and
// cgroup.freeze reach even a setuid process) leaves empty directories below the user's own limits,
// and the user's next container sweeps them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/caller.h"
#include "common/cgroup_dir.h"
#include "policy/cgroup_rules.h"

namespace userns::cgroup {

// One hierarchy, open. All directories down to `base` are root's alone (TF-PATH).
struct Hierarchy {
  std::string_view controller;  // v1; empty: v2. Static storage
  Fd base;
  std::string path;   // of base
  Fd home;            // where this process is now
  CgroupPlace place;  // the same as paths, and the user's cgroup in the base
};

// Those of v1 that limits can be in. Where a host has no v2 the first that it has is the count
// hierarchy.
inline constexpr std::string_view kV1Controllers[] = {"pids",   "memory", "cpu",
                                                      "cpuset", "blkio",  "hugetlb"};

// The hierarchy in which containers are counted: v2, at its configured base or where the host keeps
// it (CG-BASE); v1 on a host without v2.
Result<Hierarchy> open_count_hierarchy(const CgroupConf& conf, Uid uid);
// The v1 hierarchy of a controller, a name of static storage (CG-CONTROLLER), at its configured
// base or where this process is.
Result<Hierarchy> open_v1(std::string_view controller, const CgroupConf& conf, Uid uid);
// Whether systemd runs and no unit on the way to the base has Delegate=yes: then only systemd may
// write there.
bool is_systemds_own(const Hierarchy& v2, const CgroupConf& conf);

// Which process goes on in the container: this one, or a new one with the same parent. The new one
// begins in a leaf, so that the container's controllers are there for other leaves from the start:
// to enable them where a process is takes a grace period, too.
enum class Goer : bool { kThisProcess, kNewProcess };
enum class Side : bool { kInside, kOutside };

// Makes user cgroup and container in all hierarchies (the first is the count hierarchy), one for
// each part of the grant, sets the limits, hands the container over and goes there. A new process
// returns as well, inside; this one is then outside of the container and has no more to do.
// Unmade where it fails. CG-LIMIT, CG-COUNT, CG-FULL, CG-BUSY.
Result<Side> enter(const CgroupGrant& grant, const Caller& caller, std::span<const Hierarchy> all,
                   Goer goer);
// Takes back what an older policy may have limited in the user's cgroup of this hierarchy, if there
// is one.
void take_back(const Hierarchy& where, const CgroupPart& part);
// Removes an empty container: CG-GONE, CG-BUSY.
Result<void> release(const ContainerName& name, std::span<const Hierarchy> all);
// One line per container, or one line of JSON.
Result<std::string> list(const Hierarchy& counted, bool json);

}  // namespace userns::cgroup
