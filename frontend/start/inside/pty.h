// A terminal of the command's own, made inside. The caller's is never handed in: whoever holds it
// can type into the caller's shell (TIOCSTI) and read what the caller types.
#pragma once

#include "frontend/run/channel.h"
#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// In the command's process, a session leader: makes a pair in the container's devpts, sends the
// master side out, makes the slave side the controlling terminal and fds 0-2 (2 only where the
// caller's is a terminal too; otherwise it stays what it was redirected to).
Result<void> take_terminal(const Plan& plan, const Channel& channel);

}  // namespace userns::frontend
