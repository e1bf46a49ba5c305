#include "frontend/container/stop.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <thread>

#include "frontend/run/exit_status.h"
#include "frontend/spec/tell.h"
#include "frontend/store/state.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;

// A process that has no more to do than to end.
constexpr int kTries = 500;
constexpr std::chrono::milliseconds kPause{10};
constexpr std::chrono::milliseconds kLookEvery{200};

// The monitor lets go of it when it ends. What is done with it held comes before any other start.
Result<void> await_no_run(const Container& container, const std::optional<LastEnd>& end) {
  for (int left = kTries; left > 0; --left) {
    const auto run = lock_run(container.dir());
    if (!run) return std::unexpected(run.error());
    if (*run) {
      auto clean = clean_up_after_crash(container.dir());
      return clean && end ? write_last_end(container.dir(), *end) : clean;
    }
    std::this_thread::sleep_for(kPause);
  }
  return fail({}, concat(container.name(), " does not end"));
}

// After the end comes what takes its own time: the user's hooks.
bool is_past_its_end(const Container& container) {
  const auto state = read_state(container.dir());
  return state && *state && (*state)->init.pid != 0 && !(*state)->init.lives() &&
         !(*state)->monitor.is_stopped();
}

Result<int> ask_to_stop(const Container& container, std::chrono::milliseconds timeout,
                        AfterStop after) {
  const auto until = Clock::now() + timeout + kMonitorAnswers;
  const auto connection = Connection::open(container);
  if (!connection) return std::unexpected(connection.error());
  const bool keep = after == AfterStop::kKeep;
  const Request request{
      .kind = Request::Kind::kStop, .size = {}, .timeout = timeout.count(), .keep = keep};
  if (auto asked = connection->ask(request); !asked) return std::unexpected(asked.error());
  std::optional<int> status;
  while (true) {
    if (!connection->has_answer(kLookEvery)) {
      if (Clock::now() >= until && !is_past_its_end(container)) return monitor_is_silent(container);
      continue;
    }
    const auto answer = connection->receive();
    if (answer && answer->said == Said::kMet) say_what_was_met(container, answer->text);
    if (answer && answer->said == Said::kError) return fail({}, answer->text, EBUSY);
    if (answer && answer->said == Said::kEnd) status = end_in(*answer);
    if (answer) continue;
    return status ? Result<int>(*status) : monitor_was_killed(container);
  }
}

Result<int> end_without_monitor(const Container& container, const State& state) {
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, state.monitor.pid, 0)));
  // After the pidfd is open: then the number and the time of start are of the process that it
  // holds.
  if (pidfd.valid() && state.monitor.lives())
    (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  const auto text =
      concat("its monitor (process ", state.monitor.pid, ") did not answer and was killed");
  const int status = kExitSignalBase + SIGKILL;
  if (auto ended =
          await_no_run(container, LastEnd{.exit_status = status, .ended_at = now(), .text = text});
      !ended)
    return std::unexpected(ended.error());
  tell("userns-run",
       {.rule = {},
        .code = 0,
        .text = concat(container.name(), ": ", text,
                       ", and the container with it; its post-stop hooks did not run")});
  return status;
}

// It runs, and its socket is gone. At its end the socket goes a little before the lock.
bool is_out_of_reach(const Container& container) {
  const auto is_there = [&] {
    return ::faccessat(container.dir().get(), kControlFile, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  };
  for (int left = kTries; left > 0; --left) {
    const auto state = read_state(container.dir());
    if (is_there() || !state || !*state) return false;
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

}  // namespace

Result<int> stop_container(const Container& container, std::chrono::milliseconds timeout,
                           AfterStop after) {
  wake_monitor(container);
  auto status = ask_to_stop(container, timeout, after);
  if (status || (status.error().code != ETIMEDOUT && !is_out_of_reach(container))) return status;
  const auto state = read_state(container.dir());
  if (!state) return std::unexpected(state.error());
  if (*state && (*state)->monitor.pid != 0) return end_without_monitor(container, **state);
  if (*state)
    return fail(
        {}, concat(container.name(), " is just being started again; it stops as soon as it runs"));
  const auto last = read_last_end(container.dir());
  return last ? Result<int>(last->exit_status) : status;
}

Result<void> stop_for_good(const Container& container) {
  if (const auto stopped = stop_container(container, {});
      !stopped && (stopped.error().code == ETIMEDOUT || stopped.error().code == EBUSY))
    return std::unexpected(stopped.error());
  return await_no_run(container, {});
}

}  // namespace userns::frontend
