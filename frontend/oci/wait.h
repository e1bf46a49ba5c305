// A process of a container in the foreground: signals and terminal are handed on until its end.
#pragma once

#include <sys/types.h>

#include "common/fd.h"
#include "frontend/oci/config/arguments.h"
#include "frontend/oci/engine/console_socket.h"
#include "frontend/run/signals.h"
#include "frontend/start/relay.h"
#include "policy/error.h"

namespace userns::frontend {

class Foreground {
 public:
  // Before the process is made.
  static Result<Foreground> take();
  // For the terminal of a process that has one (`tty`): an engine's --console-socket, else this
  // process. A process that nobody waits for needs the first.
  [[nodiscard]] Result<TakeTerminal> taker(const Arguments& told, bool tty);
  // Its exit status, or 128+N. `pid`: a child of this process.
  [[nodiscard]] Result<int> wait(pid_t pid, bool tty);

 private:
  explicit Foreground(Signals signals) : signals_(std::move(signals)) {}
  Signals signals_;
  Relay relay_;
};

}  // namespace userns::frontend
