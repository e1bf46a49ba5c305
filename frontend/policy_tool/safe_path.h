// Whether only root could have written a policy file, component by component: what TF-PATH and
// TF-FILE refuse, with the directory or link that is at fault. For reporting only; the helpers
// decide on open fds (common/trusted_file.h).
#pragma once

#include <string>
#include <vector>

#include "frontend/policy_tool/check/checks.h"
#include "frontend/policy_tool/check/finding.h"

namespace userns::frontend {

// `path` is absolute, below `root` ("" for the running system). Nothing is found where the file
// does not exist.
std::vector<Finding> check_path(const std::string& root, const std::string& path, PolicyFile kind);

}  // namespace userns::frontend
