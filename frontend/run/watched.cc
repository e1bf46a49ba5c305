#include "frontend/run/watched.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <utility>

#include "frontend/run/apparmor.h"
#include "frontend/run/process.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

[[noreturn]] void become(const Command& command, int errors, pid_t watcher) {
  // A watcher that is killed takes it along.
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != watcher) ::_exit(127);
  unblock_signals();
  // Nobody reads what it says once it is ready. pasta sees to that itself, and refuses to start
  // where it is done for it.
  ::signal(SIGPIPE, command.third >= 0 ? SIG_IGN : SIG_DFL);
  const int nowhere = ::open("/dev/null", O_RDWR);
  ::dup2(nowhere, 0);
  ::dup2(nowhere, 1);
  ::dup2(errors, 2);
  if (command.third >= 0) ::dup2(command.third, 3);
  ::close_range(command.third >= 0 ? 4 : 3, UINT_MAX, 0);
  ::execv(command.path.c_str(), argv_of(command.words).data());
  ::_exit(127);
}

// Runs the command until it ends or the other end of `life` is closed. Holds nothing else of ours
// open.
[[noreturn]] void watch(const Command& command, const Fd& life, const Fd& errors) {
  ::setsid();
  const pid_t watcher = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) become(command, errors.get(), watcher);
  const int kept_life = ::dup2(life.get(), 0);
  const int process = ::dup2(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)), 1);
  ::close_range(2, UINT_MAX, 0);
  pollfd watched[] = {{.fd = kept_life, .events = POLLRDHUP, .revents = 0},
                      {.fd = process, .events = POLLIN, .revents = 0}};
  while (child > 0 && ::poll(watched, 2, -1) < 0 && errno == EINTR) continue;
  if (child > 0) {
    leave_apparmor_profile();  // ours may not signal the one of pasta
    ::kill(child, SIGKILL);    // not reaped, so the number is still its own
  }
  if (child > 0) (void)collect(child);
  ::_exit(0);  // closes our end of `life`: end_watched() waits for that
}

// Waits for a byte on `ready`, or for the end of all that could write to `errors`.
Result<void> await(std::string_view name, const Fd& ready, const Fd& errors) {
  std::string said;
  while (true) {
    pollfd waiting[] = {{.fd = ready.get(), .events = POLLIN, .revents = 0},
                        {.fd = errors.get(), .events = POLLIN, .revents = 0}};
    if (::poll(waiting, 2, -1) < 0 && errno != EINTR)
      return fail_errno(concat("cannot wait for ", name));
    if ((waiting[0].revents & POLLIN) != 0) return {};
    if (waiting[1].revents == 0) continue;
    char piece[512];
    const auto got = ::read(errors.get(), piece, sizeof piece);
    if (got <= 0) break;
    said.append(piece, static_cast<std::size_t>(got));
  }
  for (auto& c : said) c = c == '\n' ? ' ' : c;
  return fail({}, concat(name, " ended before it was ready: ",
                         said.empty() ? "it said nothing" : std::string_view(said)));
}

struct Line {
  Fd ours;
  Fd theirs;
};

// Either side sees the end of the other, and can ask for it first.
Result<Line> make_line() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return fail_errno("cannot make a pair of sockets");
  return Line{.ours = Fd(ends[0]), .theirs = Fd(ends[1])};
}

}  // namespace

// Killed at any time, we take the command with us: the watcher is there first.
Result<Fd> run_watched(std::string_view name, const Command& command, const Fd& ready, Fd* theirs) {
  auto life = make_line();
  auto errors = make_pipe();
  if (!life) return std::unexpected(life.error());
  if (!errors) return std::unexpected(errors.error());
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(concat("cannot start ", name));
  if (child == 0) {
    if (::fork() != 0) ::_exit(0);
    watch(command, life->theirs, errors->write);
  }
  (void)collect(child);
  errors->write.reset();
  if (theirs != nullptr) theirs->reset();
  TRY(await(name, ready, errors->read));
  return std::move(life->ours);
}

void end_watched(Fd life) {
  constexpr int kTakes = 5000;  // ms
  if (!life.valid()) return;
  (void)::shutdown(life.get(), SHUT_WR);
  pollfd gone{.fd = life.get(), .events = POLLIN, .revents = 0};
  (void)::poll(&gone, 1, kTakes);
}

}  // namespace userns::frontend
