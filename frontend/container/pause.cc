#include "frontend/container/pause.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "frontend/container/facts.h"
#include "frontend/container/freeze.h"
#include "frontend/store/state.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

[[noreturn]] void thaw_at_the_end_of(const Fd& pipe, const std::string& cgroup) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGTTOU})
    (void)::signal(number, SIG_IGN);
  char byte = 0;
  while (::read(pipe.get(), &byte, 1) < 0 && errno == EINTR) continue;
  ::_exit(thaw_cgroup(cgroup) ? 0 : 1);
}

}  // namespace

Result<Pause> Pause::begin(const Container& container, const Lock& /*proof*/) {
  Pause pause;
  const auto state = TRY(read_state(container.dir()));
  if (!state || state->cgroup.empty()) return pause;
  pause.is_still_ = true;
  if (is_frozen(container)) return pause;
  auto pipe = TRY(make_pipe());
  pause.waiter_ = ::fork();
  if (pause.waiter_ < 0) return fail_errno("cannot start a process that thaws the container");
  if (pause.waiter_ == 0) {
    pipe.write.reset();
    thaw_at_the_end_of(pipe.read, state->cgroup);
  }
  pause.pipe_ = std::move(pipe.write);
  const auto frozen = freeze_cgroup(state->cgroup);
  return frozen ? Result<Pause>(std::move(pause)) : std::unexpected(frozen.error());
}

Pause::Pause(Pause&& other) noexcept
    : is_still_(other.is_still_),
      pipe_(std::move(other.pipe_)),
      waiter_(std::exchange(other.waiter_, -1)) {}

Pause::~Pause() {
  if (waiter_ < 0) return;
  pipe_.reset();
  while (::waitpid(waiter_, nullptr, 0) < 0 && errno == EINTR) continue;
}

}  // namespace userns::frontend
