// The container's own side of its network: addresses, routes, up. Runs in the child, as its root,
// with its maps written.
#pragma once

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

// For each NIC on a bridge: MTU, addresses, up, default routes. Nothing to do for the other kinds.
//
// By netlink without libmnl: a shared library more would cost a tenth of a millisecond at each
// start of anything.
Result<void> configure_nics(const NetWish& net);

}  // namespace userns::frontend
