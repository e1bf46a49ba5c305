// Kernel settings of the container's own namespaces.
#pragma once

#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// As the container's root, with its /proc. Groups of the container may use ICMP sockets (ping) as
// far as the kernel takes them as one range; then what --sysctl asks for.
Result<void> set_sysctls(const Plan& plan);

}  // namespace userns::frontend
