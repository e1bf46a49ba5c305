#pragma once

#include "frontend/oci/config/config.h"
#include "frontend/run/channel.h"
#include "policy/error.h"

namespace userns::frontend {

// In the process of a container, a session leader: a terminal of its devpts becomes fds 0-2, and
// its master side goes out (kTerminal). `first`: it is /dev/console, too.
Result<void> take_oci_terminal(const OciProcess& process, const Channel& channel, bool first);

}  // namespace userns::frontend
