// Making the cgroups of a container, and setting what is wished for.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "common/fd.h"
#include "frontend/oci/cgroup/note.h"
#include "frontend/oci/config/resources.h"
#include "policy/error.h"

namespace userns::frontend {

using KeepNote = std::function<Result<void>(const CgroupNote&)>;

// `path`: of find_place(), or the leaf in a cgroup that was made for the container, whose maker
// `note` names. What is noted is there or half there after a failure. One that is there already is
// taken away first if it is empty; if it is in use, this is an error.
Result<CgroupNote> make_cgroups(const std::string& path, const OciResources& resources,
                                CgroupNote note, const KeepNote& keep);

// In a cgroup that this process alone is in: makes room for others beside it (kRuntimeLeaf).
Result<void> step_aside(const std::string& own);

// What is used already is not above a new limit of memory that asks to be checked.
Result<void> check_usage(const CgroupNote& note, const OciResources& resources);

// Into the files of the cgroups that are noted; fails with the field that cannot be held.
Result<void> set_resources(const CgroupNote& note, const OciResources& resources);

// This process into all of them.
Result<void> join_cgroups(const CgroupNote& note);
// For CLONE_INTO_CGROUP, which v1 does not have: a process that is in that of v2 already.
Result<Fd> open_cgroup(const CgroupNote& note);
Result<void> join_v1(const CgroupNote& note, pid_t pid);

}  // namespace userns::frontend
