#include "frontend/monitor/hooks.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "common/fd.h"
#include "frontend/run/process.h"
#include "frontend/spec/shell_words.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void become_hook(const std::vector<std::string>& words, pid_t starter) {
  (void)::setpgid(0, 0);
  reset_signals();
  become_program({.words = words,
                  .output = STDOUT_FILENO,
                  .errors = STDERR_FILENO,
                  .dies_by = SIGKILL,
                  .starter = starter});
}

enum class Awaited : std::uint8_t { kEnd, kTimeout, kGivenUp };

Awaited await(const Fd& pidfd, const HookLimits& limits) {
  const auto until = Clock::now() + limits.timeout;
  while (true) {
    std::array polled{pollfd{.fd = pidfd.get(), .events = POLLIN, .revents = 0},
                      pollfd{.fd = limits.give_up, .events = POLLIN, .revents = 0},
                      pollfd{.fd = limits.signals, .events = POLLIN, .revents = 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    (void)::poll(polled.data(), polled.size(),
                 static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)));
    if (polled[0].revents != 0) return Awaited::kEnd;
    if (polled[1].revents != 0 || polled[2].revents != 0) return Awaited::kGivenUp;
    if (Clock::now() >= until) return Awaited::kTimeout;
  }
}

Result<void> run_hook(const std::string& command, const HookLimits& limits) {
  auto words = TRY(split_words(command));
  if (words.empty()) return fail({}, "a hook is empty");
  const pid_t starter = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(concat("cannot start the hook ", quoted(command)));
  if (pid == 0) become_hook(words, starter);
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const auto awaited = pidfd.valid() ? await(pidfd, limits) : Awaited::kEnd;
  if (awaited != Awaited::kEnd) {
    (void)::kill(pid, SIGKILL);
    (void)::kill(-pid, SIGKILL);  // not reaped, so the numbers are still its own
  }
  const int status = collect(pid);
  if (status < 0) return fail_errno(concat("lost the hook ", quoted(command)));
  if (awaited == Awaited::kGivenUp)
    return fail({}, concat("given up while the hook ", quoted(command), " ran"), EINTR);
  if (awaited == Awaited::kTimeout)
    return fail({}, concat("the hook ", quoted(command), " did not end within ",
                           limits.timeout.count(), " ms (--hook-timeout), and was killed"));
  if (status == 0) return {};
  return fail({}, concat("the hook ", quoted(command), " failed: ",
                         WIFSIGNALED(status) ? concat("ended by signal ", WTERMSIG(status))
                                             : concat("status ", WEXITSTATUS(status))));
}

}  // namespace

Result<void> run_hooks(std::span<const std::string> commands, const std::string& name, pid_t pid,
                       int status, const HookLimits& limits) {
  if (commands.empty()) return {};
  (void)::setenv("USERNS_NAME", name.c_str(), 1);
  (void)::setenv("USERNS_PID", concat(pid).c_str(), 1);
  (void)::setenv("USERNS_STATUS", concat(status).c_str(), 1);
  for (const auto& command : commands)
    if (auto done = run_hook(command, limits); !done) return done;
  return {};
}

}  // namespace userns::frontend
