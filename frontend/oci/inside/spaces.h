// The namespaces of a container: those that it joins by their paths, and those that are made with
// its first process.
#pragma once

#include <sys/types.h>

#include <functional>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/oci/cgroup/note.h"
#include "frontend/oci/config/config.h"
#include "policy/error.h"

namespace userns::frontend {

// Namespaces by path, opened once, each of the kind that it is listed as.
struct JoinedSpace {
  std::uint64_t flag;
  Fd fd;
};
Result<std::vector<JoinedSpace>> open_spaces(const OciConfig& config);

// A child of this process, in them, in new ones of `flags` and in these cgroups, that runs `first`
// (which does not return). What the joined user namespace alone lets one enter is entered after it.
Result<pid_t> clone_into(const std::vector<JoinedSpace>& joined, std::uint64_t flags,
                         const CgroupNote& cgroups, const std::function<void()>& first);

// CLONE_NEW* of the namespaces that a process is in and this one is not.
Result<std::uint64_t> spaces_of(pid_t pid);

// The same as clone_into() for the namespaces of a process. `join`: enters its cgroups.
Result<pid_t> clone_beside(const Fd& pidfd, std::uint64_t spaces,
                           const std::function<Result<void>()>& join,
                           const std::function<void()>& first);

}  // namespace userns::frontend
