#include "common/startup.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "common/fd.h"
#include "policy/text.h"

namespace userns {
namespace {

Result<std::vector<std::string_view>> bounded_args(int argc, char** argv,
                                                   const StartupLimits& limits) {
  if (argc < 1) return fail("ST-ARGS", "started without argv[0]");
  if (static_cast<std::size_t>(argc) > limits.most_args)
    return fail("ST-ARGS",
                concat(argc - 1, " arguments; at most ", limits.most_args - 1, " are taken"));
  for (int i = 1; i < argc; ++i)
    if (::strnlen(argv[i], limits.longest_arg + 1) > limits.longest_arg)
      return fail("ST-ARGS",
                  concat("argument ", i, " is longer than ", limits.longest_arg, " bytes"));
  return std::vector<std::string_view>(argv + 1, argv + argc);
}

bool open_standard_fds() {
  // The lowest free number is taken, so this fills 0, 1 and 2 in order.
  int raw = 0;
  do raw = ::open("/dev/null", O_RDWR | O_NOCTTY);
  while (raw >= 0 && raw <= STDERR_FILENO);
  return raw >= 0 && ::close(raw) == 0;
}

// The system call: not every C library has a function for it.
bool close_range(unsigned first, unsigned last) {
  return ::syscall(SYS_close_range, first, last, 0) == 0;
}

// Closes what lies before the lowest of `keep`, then what lies before the next one, and so on.
bool close_others(std::span<const int> keep) {
  unsigned first = STDERR_FILENO + 1;
  for (;;) {
    unsigned next = UINT_MAX;
    for (const int kept : keep)
      if (static_cast<unsigned>(kept) >= first) next = std::min(next, static_cast<unsigned>(kept));
    if (next == UINT_MAX) return close_range(first, UINT_MAX);
    if (next > first && !close_range(first, next - 1)) return false;
    first = next + 1;
  }
}

bool reset_signals() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < SIGRTMAX; ++number) (void)::sigaction(number, &standard, nullptr);
  // How late a timer may be, in ns: the kernel's default. The caller's own could be for ever.
  if (::prctl(PR_SET_TIMERSLACK, 50'000UL, 0, 0, 0) != 0) return false;
  const itimerval off{};
  for (const auto timer : {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF})
    if (::setitimer(timer, &off, nullptr) != 0) return false;
  sigset_t none;
  return ::sigemptyset(&none) == 0 && ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

// A hard limit cannot be raised without CAP_SYS_RESOURCE; every act is all or nothing under any
// limit, so what can't be raised may only make us refuse.
void raise_limits() {
  for (const auto which : {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_AS, RLIMIT_NOFILE,
                           RLIMIT_NPROC, RLIMIT_RTTIME}) {
    rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
    // The kernel has no "unlimited" for open files; what the hard limit allows is plenty.
    if ((which != RLIMIT_NOFILE && ::setrlimit(which, &limit) == 0) ||
        ::getrlimit(which, &limit) != 0)
      continue;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(which, &limit);
  }
  const rlimit no_core{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &no_core);
}

}  // namespace

std::string_view raw_arg(int argc, char** argv, int index) {
  return index < argc ? std::string_view(argv[index]) : std::string_view{};
}

Result<std::vector<std::string_view>> sanitise(int argc, char** argv, const StartupLimits& limits,
                                               std::span<const int> keep) {
  if (!open_standard_fds()) return fail("ST-STATE", "cannot open standard file descriptors", errno);
  if (!close_others(keep))
    return fail("ST-STATE", "cannot close inherited file descriptors", errno);
  if (!reset_signals()) return fail("ST-STATE", "cannot reset signals", errno);
  if (::clearenv() != 0) return fail("ST-STATE", "cannot empty the environment", errno);
  if (::chdir("/") != 0) return fail("ST-STATE", "cannot change to /", errno);
  ::umask(077);
  raise_limits();
  return bounded_args(argc, argv, limits);
}

}  // namespace userns
