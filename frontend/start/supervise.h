// From the exec to the end: hands on signals and what goes in and out, and learns how it ended.
#pragma once

#include <sys/types.h>

#include "common/fd.h"
#include "frontend/run/signals.h"
#include "frontend/start/plan/plan.h"
#include "frontend/start/relay.h"
#include "policy/error.h"

namespace userns::frontend {

// The process inside that is ours: the command, or init.
struct Payload {
  pid_t pid = 0;
  Fd pidfd;
  Fd notify;  // what an init says on it is heard; none: nothing is
};

struct Ended {
  int status = 0;            // the command's, or 128+N
  bool by_a_signal = false;  // the command was ended so
};

// A command that is pid 1 of its pid namespace is deaf to every signal that it has no handler for:
// the kernel does not apply default actions there. So we do: what would have ended it ends it, and
// the status says by which signal. A command that catches or ignores TERM is killed after
// spec.stop_timeout.
Result<Ended> supervise(const Plan& plan, const Payload& payload, const Signals& signals,
                        Relay& relay);

}  // namespace userns::frontend
