#include "frontend/run/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

namespace userns::frontend {
namespace {

bool is_ignored(int number) {
  struct sigaction action{};
  return ::sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

Result<Signals> Signals::take(std::initializer_list<int> which) {
  sigset_t taken;
  ::sigemptyset(&taken);
  for (const int number : which)
    if (!is_ignored(number)) ::sigaddset(&taken, number);
  Signals signals;
  if (::sigprocmask(SIG_BLOCK, &taken, &signals.original_) != 0)
    return fail_errno("cannot block signals");
  // A caller that ignores SIGCHLD would have our children vanish without a status.
  if (is_ignored(SIGCHLD) && ::signal(SIGCHLD, SIG_DFL) == SIG_ERR)
    return fail_errno("cannot watch children");
  signals.fd_.reset(::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.fd_.valid()) return fail_errno("cannot receive signals");
  return signals;
}

std::optional<int> Signals::next() const {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  const auto number = static_cast<int>(info.ssi_signo);
  return number == kScopeStops ? SIGTERM : number;
}

}  // namespace userns::frontend
