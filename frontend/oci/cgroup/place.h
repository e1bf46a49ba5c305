// Where a container's cgroup can be: in a directory of the v2 hierarchy that the caller may write
// to, or in a cgroup that this process was brought to for it (entry.h).
//
//   BASE/a/b/            cgroupsPath; BASE: the top, or the nearest cgroup that the caller is below
//                        and may write to
//   OWN/runtime/         this process, while it makes the container
//   OWN/container/       the container, where OWN was made for it
#pragma once

#include <string>

#include "frontend/oci/config/cgroups_path.h"
#include "frontend/oci/config/resources.h"
#include "policy/error.h"

namespace userns::frontend {

inline constexpr const char* kOciLeaf = "container";
inline constexpr const char* kRuntimeLeaf = "runtime";

// The top of the v2 hierarchy, as this process sees it; empty: none is mounted.
std::string top_of_cgroups();
// That of a v1 hierarchy; empty: none is mounted.
std::string top_of_v1(const std::string& hierarchy);

// The directory of this process's own cgroup; empty where it cannot be seen.
Result<std::string> own_cgroup();

// The path of a cgroup that is still to be made, into which the caller may put processes of this
// one. Fails with what stands in the way: of making it, and of setting what is wished for.
Result<std::string> find_place(const CgroupsPath& path, const OciResources& resources);

}  // namespace userns::frontend
