#include "frontend/start/wait_by_hand.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "policy/text.h"

namespace userns::frontend {
namespace {

bool asks_to_stop(const Signals& signals) {
  while (const auto number = signals.next())
    if (*number == SIGTERM || *number == SIGINT || *number == SIGHUP || *number == SIGQUIT)
      return true;
  return false;
}

}  // namespace

Result<void> wait_by_hand(pid_t pid, const Signals& signals) {
  const auto text = concat(
      "userns-run: process ", pid, " waits. Look at /proc/", pid,
      ", or map its ids by hand, e.g. newuidmap ", pid,
      " 0 100000 65536; what is not mapped then is mapped as asked. Press Enter to go on.\n");
  [[maybe_unused]] const auto put = ::write(STDERR_FILENO, text.data(), text.size());
  std::array polled{pollfd{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                    pollfd{.fd = signals.fd().get(), .events = POLLIN, .revents = 0}};
  while (true) {
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
      return fail_errno("cannot wait for Enter");
    if (polled[1].revents != 0 && asks_to_stop(signals))
      return fail({}, "stopped by a signal while waiting for Enter");
    if (polled[0].revents == 0) continue;
    char one = 0;
    const auto got = ::read(STDIN_FILENO, &one, 1);
    if (got == 1 && one == '\n') return {};
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
      return fail({}, "standard input ended while waiting for Enter (--wait)");
  }
}

}  // namespace userns::frontend
