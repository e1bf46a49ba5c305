// The name servers of a container: /etc/resolv.conf.
#pragma once

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

// In a root of the container's own, if name servers are known: over the container's own file, which
// stays as it is. Runs in the child, as its root.
Result<void> tell_names(const NetWish& net);

}  // namespace userns::frontend
