// A reaper as pid 1 inside (--init): ends with the command, hands its signals on.
#pragma once

#include "policy/error.h"

namespace userns::frontend {

// Forks. The child returns from here; this process becomes init and exits with the child's status
// (128+N where a signal ended it). Init is not dumpable: /proc/1 would lead back to the host.
Result<void> continue_below_init();

}  // namespace userns::frontend
