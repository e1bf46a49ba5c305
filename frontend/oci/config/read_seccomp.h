#pragma once

#include "frontend/oci/config/node.h"
#include "frontend/oci/config/seccomp_rules.h"

namespace userns::frontend {

// Pure.
SeccompRules read_seccomp(const Node& seccomp);

// For `features`.
std::vector<std::string> known_seccomp_actions();
std::vector<std::string> known_seccomp_operators();
std::vector<std::string> known_seccomp_architectures();

}  // namespace userns::frontend
