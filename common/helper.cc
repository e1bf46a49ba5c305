#include "common/helper.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "common/config.h"
#include "common/fd.h"
#include "common/report.h"
#include "policy/text.h"
#include "policy/try.h"

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

// How late a timer may be, in ns: the kernel's default. The caller's own could be for ever. And
// children are waited for. Nothing else depends on signals and timers that the caller has set: they
// end the process, and every act is all or nothing.
bool reset_waits() {
  return ::prctl(PR_SET_TIMERSLACK, 50'000UL, 0, 0, 0) == 0 &&
         ::signal(SIGCHLD, SIG_DFL) != SIG_ERR;
}

// Too low, these would only make us refuse.
void raise_soft_limits() {
  for (const auto which : {RLIMIT_NOFILE, RLIMIT_NPROC}) {
    rlimit limit{};
    if (::getrlimit(which, &limit) != 0 || limit.rlim_cur == limit.rlim_max) continue;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(which, &limit);
  }
}

int say_version(std::string_view name) {
  const auto line = concat(name, " (userns suite) ", std::string_view(kVersion), "\n");
  const bool said = drop_all_but({}, Caller::identify().uid) &&
                    ::write(STDOUT_FILENO, line.data(), line.size()) > 0;
  return said ? 0 : 1;
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
  if (!reset_waits()) return fail("ST-STATE", "cannot reset timers", errno);
  if (::clearenv() != 0) return fail("ST-STATE", "cannot empty the environment", errno);
  if (::chdir("/") != 0) return fail("ST-STATE", "cannot change to /", errno);
  ::umask(077);
  raise_soft_limits();
  return bounded_args(argc, argv, limits);
}

Result<void> Helper::live(int argc, char** argv) {
  const auto args = sanitise(argc, argv, terms_.limits, named_fds(argc, argv));  // 1
  caller_ = Caller::identify();                                                  // 2
  summary_ = concat("uid=", caller_.uid.value(), " gid=", caller_.gid.value());
  TRY(drop_all_but(needs(), caller_.uid, terms_.held));  // 3
  open();
  TRY(log_.open());
  TRY(lock_down(terms_.filter, {}, terms_.files));
  if (!args) return std::unexpected(args.error());
  return serve(*args);  // 4 to 8
}

void Helper::run(int argc, char** argv) {
  exit_when_out_of_memory(terms_.name);
  if (argc == 2 && raw_arg(argc, argv, 1) == "--version") ::_exit(say_version(terms_.name));
  const auto done = live(argc, argv);
  if (done) ::_exit(0);
  log_.not_done(summary_, done.error());
  if (terms_.held) step_down(caller_.uid);
  (void)keep_only({});
  report(terms_.name, done.error());  // 9
  ::_exit(1);
}

}  // namespace userns
