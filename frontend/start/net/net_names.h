// The names that a container has for its network: /etc/resolv.conf and /etc/hosts.
#pragma once

#include <string_view>

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

// In a root of the container's own, if name servers are known: over the container's own files,
// which stay as they are. Runs in the child, as its root. `hostname` may be empty.
Result<void> tell_names(const NetWish& net, std::string_view hostname);

}  // namespace userns::frontend
