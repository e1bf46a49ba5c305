#include "frontend/oci/wait.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "frontend/start/plan/plan.h"
#include "frontend/start/supervise.h"
#include "policy/try.h"

namespace userns::frontend {

Result<Foreground> Foreground::take() {
  auto signals = TRY(Signals::take());
  return Foreground(std::move(signals));
}

Result<TakeTerminal> Foreground::taker(const Arguments& told, bool tty) {
  if (!told.console_socket.empty()) return to_console_socket(told.console_socket);
  if (tty && told.detach)
    return fail({}, "a terminal of a process that nobody waits for needs --console-socket");
  return [this](Fd master) -> Result<void> {
    relay_.use_terminal(std::move(master));
    relay_.copy_window_size();
    return {};
  };
}

Result<int> Foreground::wait(pid_t pid, bool tty) {
  Payload payload{
      .pid = pid, .pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))), .notify = {}};
  if (!payload.pidfd.valid()) return fail_errno("cannot watch the container's process");
  Plan plan;
  plan.tty = tty;
  const auto ended = TRY(supervise(plan, payload, signals_, relay_));
  return ended.status;
}

}  // namespace userns::frontend
