// What systemd-networkd in a booted system is told of its NICs.
#pragma once

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

// A .network file in /run for each NIC that has addresses: by DHCP, which images often ask for,
// such a NIC gets none and networkd would wait for it for ever. Files of the system's own that come
// first (below 70-) or have its name are taken instead. Runs in the child, as its root, with a /run
// of its own.
Result<void> tell_networkd(const NetWish& net);

}  // namespace userns::frontend
