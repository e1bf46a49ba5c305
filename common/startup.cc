#include "common/startup.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "common/fd.h"
#include "policy/text.h"

namespace userns {
namespace {

Result<std::vector<std::string_view>> bounded_args(int argc, char** argv, const StartupLimits& limits) {
  if (argc < 1) return fail("ST-ARGS", "started without argv[0]");
  if (static_cast<std::size_t>(argc) > limits.most_args)
    return fail("ST-ARGS", cat(argc - 1, " arguments; at most ", limits.most_args - 1, " are taken"));
  std::vector<std::string_view> args;
  args.reserve(static_cast<std::size_t>(argc));
  for (int i = 1; i < argc; ++i) {
    if (::strnlen(argv[i], limits.longest_arg + 1) > limits.longest_arg)
      return fail("ST-ARGS", cat("argument ", i, " is longer than ", limits.longest_arg, " bytes"));
    args.emplace_back(argv[i]);
  }
  return args;
}

bool open_standard_fds() {
  // The lowest free number is taken, so this fills 0, 1 and 2 in order.
  while (true) {
    const int raw = ::open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (raw < 0) return false;
    if (raw > STDERR_FILENO) return ::close(raw) == 0;
    // 0-2 stay open across an exec, as everywhere.
    if (::fcntl(raw, F_SETFD, 0) != 0) return false;
  }
}

bool close_others(std::optional<int> keep) {
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  if (!keep || *keep < static_cast<int>(kFirst)) return ::close_range(kFirst, UINT_MAX, 0) == 0;
  const auto kept = static_cast<unsigned>(*keep);
  return (kept == kFirst || ::close_range(kFirst, kept - 1, 0) == 0) && ::close_range(kept + 1, UINT_MAX, 0) == 0 &&
         (::fcntl(*keep, F_SETFD, FD_CLOEXEC) == 0 || errno == EBADF);
}

bool reset_signals() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < SIGRTMAX; ++number) (void)::sigaction(number, &standard, nullptr);
  for (const int timer : {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}) {
    const itimerval off{};
    if (::setitimer(static_cast<__itimer_which_t>(timer), &off, nullptr) != 0) return false;
  }
  sigset_t none;
  ::sigemptyset(&none);
  return ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

void raise_limits() {
  // A hard limit cannot be raised without CAP_SYS_RESOURCE; every act is all or nothing under any
  // limit, so what can't be raised may only make us refuse.
  for (const auto which :
       {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_AS, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_RTTIME}) {
    rlimit limit{};
    if (::getrlimit(which, &limit) != 0) continue;
    // The kernel has no "unlimited" for open files; what the hard limit allows is plenty.
    rlimit wanted{RLIM_INFINITY, RLIM_INFINITY};
    if (which == RLIMIT_NOFILE || ::setrlimit(which, &wanted) != 0) {
      wanted = {limit.rlim_max, limit.rlim_max};
      (void)::setrlimit(which, &wanted);
    }
  }
  const rlimit no_core{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &no_core);
}

}  // namespace

std::string_view raw_arg(int argc, char** argv, int index) {
  return index < argc ? std::string_view(argv[index]) : std::string_view{};
}

Result<std::vector<std::string_view>> sanitise(int argc, char** argv, const StartupLimits& limits,
                                               std::optional<int> keep) {
  if (!open_standard_fds()) return fail("ST-STATE", "cannot open standard file descriptors", errno);
  if (!close_others(keep)) return fail("ST-STATE", "cannot close inherited file descriptors", errno);
  if (!reset_signals()) return fail("ST-STATE", "cannot reset signals", errno);
  raise_limits();
  if (::clearenv() != 0) return fail("ST-STATE", "cannot empty the environment", errno);
  ::umask(077);
  if (::chdir("/") != 0) return fail("ST-STATE", "cannot change to /", errno);
  return bounded_args(argc, argv, limits);
}

}  // namespace userns
