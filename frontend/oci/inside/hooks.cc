#include "frontend/oci/inside/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <optional>

#include "common/fd.h"
#include "frontend/run/process.h"
#include "frontend/spec/tell.h"
#include "frontend/start/inside/clean.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// A file: no hook that does not read it can hold us up.
Result<Fd> input_of(const std::string& state) {
  Fd file(::memfd_create("state", MFD_CLOEXEC));
  if (!file.valid()) return fail_errno("cannot make a file in memory");
  TRY(write_all(file, state));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno("cannot rewind a file in memory");
  return file;
}

[[noreturn]] void become_hook(const OciHook& hook, const Fd& input) {
  const std::vector<std::string> name{hook.path};
  const auto words = argv_of(hook.args.empty() ? name : hook.args);
  const auto environment = argv_of(hook.env);
  ::setpgid(0, 0);
  reset_signals();
  if (::dup2(input.get(), STDIN_FILENO) >= 0 && ::close_range(STDERR_FILENO + 1, UINT_MAX, 0) == 0)
    ::execve(hook.path.c_str(), words.data(), environment.data());
  ::_exit(errno == ENOENT ? 127 : 126);
}

// Its status, or nothing where it had to be killed.
std::optional<int> wait_for_hook(pid_t child, const std::optional<std::uint64_t>& seconds) {
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd polled{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  constexpr int kMilli = 1000;
  const int limit = seconds ? static_cast<int>(*seconds) * kMilli : -1;
  int ready = -1;
  while ((ready = ::poll(&polled, 1, limit)) < 0 && errno == EINTR) continue;
  if (ready == 0) (void)::kill(-child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return ready == 0 ? std::nullopt : std::optional(status);
}

Result<void> run_one(const OciHook& hook, const std::string& state) {
  const auto input = TRY(input_of(state));
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("cannot start a process");
  if (child == 0) become_hook(hook, input);
  const auto status = wait_for_hook(child, hook.timeout);
  if (!status) return fail({}, concat("took longer than its timeout of ", *hook.timeout, " s"));
  if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return {};
  return fail({}, WIFSIGNALED(*status) ? concat("was ended by signal ", WTERMSIG(*status))
                                       : concat("ended with status ", WEXITSTATUS(*status)));
}

}  // namespace

Result<void> run_oci_hooks(const std::vector<OciHook>& hooks, std::string_view point,
                           const std::string& state) {
  for (const auto& hook : hooks)
    if (const auto done = run_one(hook, state); !done)
      return fail(
          {}, concat("the hook ", quoted(hook.path), " (hooks.", point, ") ", done.error().text),
          done.error().code);
  return {};
}

void run_late_hooks(const std::vector<OciHook>& hooks, std::string_view point,
                    const std::string& state) {
  for (const auto& hook : hooks)
    if (const auto done = run_oci_hooks({hook}, point, state); !done)
      tell("userns-oci", done.error());
}

}  // namespace userns::frontend
