#pragma once

#include <cstdint>
#include <vector>

#include "frontend/start/plan/plan.h"

namespace userns::frontend {

// The mounts below the root that a Spec asks for and a container needs. Pure.
std::vector<MountStep> plan_mounts(const Spec& spec, std::uint64_t namespaces, bool own_root,
                                   bool tty);

}  // namespace userns::frontend
