// What is wrong around the installed policy files: one of a pair that is missing, a source of ids
// that does not answer, no room for the next user, files that look like policy and are not read.
#pragma once

#include <string>
#include <vector>

#include "frontend/policy_tool/check/facts.h"
#include "frontend/policy_tool/check/finding.h"

namespace userns::frontend {

// `root` as in host_facts(). Reads files; asks the source of subordinate ids as the helpers do.
std::vector<Finding> check_around(const std::string& root, const HostFacts& facts);

// Whether a file of this name is one that a package manager, an editor or a killed program left
// beside the policy file `name`; what it is, or nothing. Pure.
std::string_view leftover_kind(std::string_view name, std::string_view other);

}  // namespace userns::frontend
