#include "frontend/run/cgroup/release.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "common/config.h"
#include "common/fd.h"
#include "frontend/run/cgroup/files.h"
#include "frontend/run/helper.h"
#include "frontend/run/process.h"
#include "frontend/run/signals.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

// What was killed ends; what is in the middle of a system call takes its time.
constexpr std::chrono::seconds kEndTakes{20};
// How often it is looked at if the kernel does not tell of the end (cgroup v1).
constexpr Milliseconds kLookEvery{50};
constexpr int kTries = 3;  // each is written to the audit log
// From TERM on, which a session's or a unit's end sends to all of it.
constexpr Milliseconds kAskedToEnd{2000};

// What `userns-cgroup list` says of it: "web-77 empty /sys/fs/cgroup/userns/1000/web-77".
struct Row {
  bool is_empty = false;
  std::string path;
};

std::optional<std::string> own_cgroups() {
  auto pipe = make_pipe();
  if (!pipe) return std::nullopt;
  auto helper = Helper::start(cgroup_helper().c_str(), {"list"}, &pipe->write);
  pipe->write.reset();
  if (!helper) return std::nullopt;
  auto text = read_all(pipe->read, kLargestCgroupFile);
  return helper->finish() && text ? std::optional(std::move(*text)) : std::nullopt;
}

std::optional<Row> row_of(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    auto line = take_until(list, '\n');
    if (take_until(line, ' ') != name) continue;
    const bool is_empty = take_until(line, ' ') == "empty";
    return Row{.is_empty = is_empty, .path = std::string(line)};
  }
  return std::nullopt;
}

void await_change(const std::string& path) {
  const auto file = open_at(AT_FDCWD, concat(path, "/cgroup.events").c_str(), O_RDONLY);
  const auto text = file ? read_all(*file, kLargestCgroupFile) : std::unexpected(file.error());
  if (text && !text->contains("populated 1")) return;
  pollfd change{.fd = file ? file->get() : -1, .events = POLLPRI, .revents = 0};
  const auto longest = text ? Milliseconds(kEndTakes) : kLookEvery;
  (void)::poll(&change, 1, static_cast<int>(longest.count()));
}

// Keeps nothing open that others wait for the end of.
Fd keep_alone(Fd pidfd) {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int number = 0; number < 3; ++number)
    if (::dup2(null.get(), number) < 0) ::_exit(1);
  if (!pidfd.valid()) {
    ::close_range(3, ~0U, 0);
    return {};
  }
  Fd kept(::fcntl(pidfd.get(), F_DUPFD_CLOEXEC, 3));
  if (kept.get() != 3) kept = Fd(::dup3(kept.get(), 3, O_CLOEXEC));
  (void)pidfd.release();
  ::close_range(4, ~0U, 0);
  return kept;
}

bool no_child_is_left() {
  pid_t ended = 0;
  do ended = ::waitpid(-1, nullptr, WNOHANG);
  while (ended > 0);
  return ended < 0;
}

// Of that process, or (no pidfd) of all children. False: it goes on, and we are not to wait for it.
bool await_end(const Fd& pidfd, const Signals& signals) {
  std::optional<Clock::time_point> until;
  std::array<pollfd, 2> polled{{{.fd = pidfd.get(), .events = POLLIN, .revents = 0},
                                {.fd = signals.fd().get(), .events = POLLIN, .revents = 0}}};
  while (pidfd.valid() || !no_child_is_left()) {
    const auto left = until ? *until - Clock::now() : Clock::duration{};
    const auto wait =
        until ? std::max<std::int64_t>(std::chrono::ceil<Milliseconds>(left).count(), 0) : -1;
    const int ready = ::poll(polled.data(), polled.size(), static_cast<int>(wait));
    if (polled[0].revents != 0) return true;
    if (ready == 0) return false;
    const auto number = ready > 0 ? signals.next() : std::nullopt;
    if (number && *number != SIGCHLD && !until) until = Clock::now() + kAskedToEnd;
  }
  return true;
}

void become_sweeper() {
  (void)::setsid();
  reset_signals();
  ::prctl(PR_SET_NAME, "userns-sweeper");
}

[[noreturn]] void wait_and_release(const Fd& alone, const std::string& name) {
  const auto signals = Signals::take({SIGTERM, SIGINT, SIGHUP, SIGCHLD});
  if (::chdir("/") == 0 && signals && await_end(alone, *signals)) release_when_empty(name);
  ::_exit(0);
}

}  // namespace

std::string cgroup_helper() { return concat(std::string_view(kHelperDir), "/userns-cgroup"); }

std::optional<std::string> path_of_own_cgroup(const std::string& name) {
  const auto list = own_cgroups();
  auto row = list ? row_of(*list, name) : std::nullopt;
  return row ? std::optional(std::move(row->path)) : std::nullopt;
}

void release_when_empty(const std::string& name) {
  const auto until = Clock::now() + kEndTakes;
  for (int left = kTries; left > 0 && Clock::now() < until;) {
    const auto list = own_cgroups();
    const auto row = list ? row_of(*list, name) : std::nullopt;
    if (!row) return;
    if (!row->is_empty) {
      await_change(row->path);
      continue;
    }
    const Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    auto helper = Helper::start(cgroup_helper().c_str(), {"release", name}, &null);
    if (!helper || helper->finish()) return;
    --left;  // somebody has come in, or an administrator has changed the policy
    (void)::poll(nullptr, 0, static_cast<int>(kLookEvery.count()));
  }
}

void release_after_us(const std::string& name) {
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!pidfd.valid()) return;
  const auto between = clone_process(0);
  if (!between) return;
  if (between->pid != 0) {
    (void)collect(between->pid);
    return;
  }
  // Nobody's child: who becomes another program waits for no child that it does not know.
  const auto sweeper = clone_process(0);
  if (!sweeper || sweeper->pid != 0) ::_exit(0);
  become_sweeper();
  wait_and_release(keep_alone(std::move(pidfd)), name);
}

void release_after_children(const std::string& name, pid_t helper) {
  become_sweeper();
  (void)keep_alone({});
  if (const int status = collect(helper); status != 0) ::_exit(status);
  wait_and_release({}, name);
}

}  // namespace userns::frontend
