// The container's own side of its network: addresses, routes, up. Runs in the child, as its
// root, with its maps written.
#pragma once

#include <string_view>

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

// Of a new network namespace.
Result<void> raise_loopback();

// For each NIC on a bridge: MTU, addresses, up, default routes. Nothing to do for the other kinds.
//
// By netlink without libmnl: a shared library more would cost a tenth of a millisecond at each
// start of anything.
Result<void> configure_nics(const NetWish& net);

// With what net.conf gave to NICs that were asked for without an address: lines of --net's words.
// For a network of the caller's: the NIC there, of the first line.
Result<NetWish> with_given(NetWish net, std::string_view given);

}  // namespace userns::frontend
