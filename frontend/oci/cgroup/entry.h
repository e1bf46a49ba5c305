// By whom a container gets its cgroup.
#pragma once

#include <string>

#include "frontend/oci/cgroup/note.h"
#include "frontend/oci/config/arguments.h"
#include "frontend/oci/config/config.h"
#include "policy/error.h"

namespace userns::frontend {

struct CgroupChoice {
  std::string path;  // of the container's own, still to be made; empty: it has none
  std::string own;   // the one that was made for it, which this process is in; empty: none was
  CgroupMaker maker = CgroupMaker::kNobody;
  std::string name;  // that the maker knows `own` by
};

// Before anything is made. Where only userns-cgroup or systemd can make one, becomes that program,
// which becomes this one again, with the same pid and words, in a cgroup of its own: so this
// returns in the second life. `root`: of oci_root(). Fails where a limit is asked for and no cgroup
// can hold it.
Result<CgroupChoice> choose_cgroup(const Arguments& told, const OciConfig& config,
                                   const std::string& root);

// The name of the cgroup that userns-cgroup makes for a container.
std::string helper_name(const std::string& root, const std::string& id);

}  // namespace userns::frontend
