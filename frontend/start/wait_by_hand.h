// --wait: time for a person to look at the container, or to map its ids from another terminal.
#pragma once

#include <sys/types.h>

#include "frontend/run/signals.h"
#include "policy/error.h"

namespace userns::frontend {

// Says on stderr which process waits, then reads standard input up to and including a newline (and
// no byte more: the rest is the command's). Fails where input ends first or a signal asks to stop.
Result<void> wait_by_hand(pid_t pid, const Signals& signals);

}  // namespace userns::frontend
