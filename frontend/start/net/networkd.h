// What systemd-networkd in a booted system is told of its NICs.
#pragma once

#include <functional>
#include <string_view>

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

// A .network file in /run for each NIC that has addresses: by DHCP, which images often ask for,
// such a NIC gets none and networkd would wait for it for ever. Files of the system's own that come
// first (below 70-) or have its name are taken instead. `is_callers` says of a path whether the
// caller has put something of theirs there, which stays as it is. Runs in the child, as its root.
Result<void> tell_networkd(const NetWish& net,
                           const std::function<bool(std::string_view path)>& is_callers);

}  // namespace userns::frontend
