// The life of a container after its start, from the exec of its command to its end: owns the
// console's master side, the log and the socket, stops it when asked to, records how it ended,
// starts it again where it is to be.
#pragma once

#include "frontend/monitor/handover.h"

namespace userns::frontend {

// With one thread, as the parent of handover.pid, holding the fds of the handover. Returns the exit
// status of the program, or becomes userns-run again.
int monitor(Handover handover);

}  // namespace userns::frontend
