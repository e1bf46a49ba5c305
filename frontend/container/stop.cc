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
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;

// A process that has no more to do than to end.
constexpr int kTries = 500;
constexpr std::chrono::milliseconds kPause{10};
constexpr std::chrono::milliseconds kLookEvery{200};
constexpr std::chrono::milliseconds kStartMayTake{1000};  // before a stop gives it up

// The monitor lets go of it when it ends. What is done with it held comes before any other start.
Result<void> await_no_run(const Container& container, const std::optional<LastEnd>& end) {
  for (int left = kTries; left > 0; --left) {
    const auto run = lock_run(container.dir());
    // In a store that cannot be written to nothing is cleaned up, and no run begins.
    if (!run && run.error().code == EROFS) {
      if (const auto state = read_state(container.dir()); state && !*state) return {};
      std::this_thread::sleep_for(kPause);
      continue;
    }
    if (!run) return std::unexpected(run.error());
    if (*run) {
      auto clean = clean_up_after_crash(container.dir());
      return clean && end ? write_last_end(container.dir(), *end) : clean;
    }
    std::this_thread::sleep_for(kPause);
  }
  return fail({}, concat(container.name(), " does not end"));
}

void signal_process(const ProcessId& process, int number) {
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  // After the pidfd is open: then the number and the time of start are of the process that it
  // holds.
  if (pidfd.valid() && process.lives())
    (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0);
}

bool is_starting(const Container& container) {
  const auto state = read_state(container.dir());
  return state && *state && (*state)->init.pid == 0 && (*state)->problem.empty();
}

// Who starts it holds the lock of the run; TERM ends a hook that it waits for.
void give_up_start(const Container& container) {
  if (!is_starting(container)) return;
  if (const auto starter = find_monitor(container.dir())) signal_process(*starter, SIGTERM);
}

// After the end comes what takes its own time: the user's hooks.
bool is_past_its_end(const Container& container) {
  const auto state = read_state(container.dir());
  return state && *state && (*state)->init.pid != 0 && !(*state)->init.lives() &&
         !(*state)->monitor.is_stopped();
}

// The monitor has let us go without a word: it came to its end before it had heard us, or was
// killed.
Result<int> status_of_end(const Container& container) {
  for (int left = kTries; left > 0; --left) {
    const auto state = read_state(container.dir());
    if (state && !*state) break;
    std::this_thread::sleep_for(kPause);
  }
  const auto last = read_orderly_end(container.dir());
  return last ? Result<int>(last->exit_status) : monitor_was_killed(container);
}

Result<int> ask_to_stop(const Container& container, std::chrono::milliseconds timeout,
                        AfterStop after) {
  const auto until = Clock::now() + timeout + kMonitorAnswers;
  const auto connection = TRY(Connection::open(container));
  const bool keep = after == AfterStop::kKeep;
  const Request request{
      .kind = Request::Kind::kStop, .size = {}, .timeout = timeout.count(), .keep = keep};
  // A monitor that has just ended does not hear it: how that came about is told below.
  if (auto asked = connection.ask(request); !asked && asked.error().code != 0)
    return std::unexpected(asked.error());
  std::optional<int> status;
  auto give_up_at = std::optional(Clock::now() + kStartMayTake);
  while (true) {
    if (!connection.has_answer(kLookEvery)) {
      if (give_up_at && Clock::now() >= *give_up_at) {
        give_up_at.reset();
        give_up_start(container);
      }
      if (Clock::now() >= until && !is_past_its_end(container)) return monitor_is_silent(container);
      continue;
    }
    const auto answer = connection.receive();
    if (answer && answer->said == Said::kMet) say_what_was_met(container, answer->text);
    if (answer && answer->said == Said::kError) return fail({}, answer->text, EBUSY);
    if (answer && answer->said == Said::kEnd) status = end_in(*answer);
    if (answer) continue;
    return status ? Result<int>(*status) : status_of_end(container);
  }
}

Result<int> end_without_monitor(const Container& container, const State& state) {
  signal_process(state.monitor, SIGKILL);
  const auto text =
      concat("its monitor (process ", state.monitor.pid, ") did not answer and was killed");
  const int status = kExitSignalBase + SIGKILL;
  TRY(await_no_run(container, LastEnd{.exit_status = status, .ended_at = now(), .text = text}));
  tell("userns-run",
       {.rule = {},
        .code = 0,
        .text = concat(container.name(), ": ", text,
                       ", and the container with it; its post-stop hooks did not run")});
  return status;
}

// Its socket is gone, and it hears: TERM asks it for the same, in its own time.
Result<int> stop_by_signal(const Container& container, const State& state,
                           std::chrono::milliseconds timeout) {
  signal_process(state.monitor, SIGTERM);
  const auto until = Clock::now() + timeout + kMonitorAnswers;
  while (true) {
    const auto now = read_state(container.dir());
    if (now && !*now) break;
    if (Clock::now() >= until && !is_past_its_end(container))
      return end_without_monitor(container, state);
    std::this_thread::sleep_for(kPause);
  }
  return status_of_end(container);
}

}  // namespace

Result<Lock> lock_to_stop(const Container& container) {
  auto soon = TRY(container.lock_within(kStartMayTake));
  if (soon) return std::move(*soon);
  give_up_start(container);
  return container.lock();
}

Result<int> stop_container(const Container& container, std::chrono::milliseconds timeout,
                           AfterStop after) {
  wake_monitor(container);
  auto status = ask_to_stop(container, timeout, after);
  if (status) return status;
  const auto state = TRY(read_state(container.dir()));
  // It ended before it could be asked: a monitor that was woken hears who came first.
  if (!state) return read_last_end(container.dir()).value_or(LastEnd{}).exit_status;
  if (status.error().code != ETIMEDOUT && status.error().code != ENOTCONN) return status;
  if (state->monitor.pid == 0)
    return fail(
        {}, concat(container.name(), " is just being started again; it stops as soon as it runs"));
  return status.error().code == ENOTCONN ? stop_by_signal(container, *state, timeout)
                                         : end_without_monitor(container, *state);
}

Result<void> stop_for_good(const Container& container) {
  if (const auto stopped = stop_container(container, {});
      !stopped && (stopped.error().code == ETIMEDOUT || stopped.error().code == EBUSY))
    return std::unexpected(stopped.error());
  return await_no_run(container, {});
}

}  // namespace userns::frontend
