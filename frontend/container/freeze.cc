#include "frontend/container/freeze.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <set>

#include "common/fd.h"
#include "frontend/container/connection.h"
#include "frontend/events/event_log.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/store/processes.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr int kLookEvery = 5;  // ms
constexpr int kLooks = 2000;   // until a cgroup that does not freeze is an error
constexpr int kLooksForStop = 200;
constexpr int kRounds = 50;  // of signals: who is stopped makes no new processes
constexpr std::size_t kLargest = 4096;

Result<bool> is_frozen(const Fd& cgroup) {
  const auto file = open_at(cgroup.get(), "cgroup.events", O_RDONLY);
  const auto text =
      file ? read_all(*file, kLargest) : Result<std::string>(std::unexpected(file.error()));
  if (!text) return fail({}, "cannot read the container's cgroup.events", text.error().code);
  return text->find("frozen 1") != std::string::npos;
}

Result<std::string> by_cgroup(const std::string& path, bool stop) {
  const auto cgroup = open_at(AT_FDCWD, concat(path, "/payload").c_str(), O_RDONLY | O_DIRECTORY);
  if (!cgroup) return fail({}, "cannot open the container's cgroup", cgroup.error().code);
  const auto file = open_at(cgroup->get(), "cgroup.freeze", O_WRONLY);
  const auto written =
      file ? write_once(*file, stop ? "1" : "0") : Result<void>(std::unexpected(file.error()));
  if (!written) return fail({}, "cannot write the container's cgroup.freeze", written.error().code);
  for (int look = 0; look < kLooks; ++look) {
    const auto frozen = TRY(is_frozen(*cgroup));
    if (frozen == stop) return "its cgroup";
    (void)::poll(nullptr, 0, kLookEvery);
  }
  return fail({},
              "the container's cgroup does not freeze: a process in it can't be stopped just now");
}

enum class Sent : std::uint8_t { kYes, kNo, kChanged };

// The number may have become somebody else's since it was listed, the caller's own shell's as well.
Sent signal_process(const ProcessFacts& process, int number) {
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd.valid()) return Sent::kNo;
  if (user_namespace_id(process.pid) != process.user_namespace) return Sent::kChanged;
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) == 0 ? Sent::kYes
                                                                                : Sent::kNo;
}

bool runs(pid_t pid) {
  const auto stat = stat_of_process(pid);
  return stat.starts_with('R') || stat.starts_with('S') || stat.starts_with('D');
}

// A signal is taken when the process runs next, which on a busy machine is later.
void await_stop(const std::set<pid_t>& pids) {
  int looks = kLooksForStop;
  for (const auto pid : pids)
    while (looks-- > 0 && runs(pid)) (void)::poll(nullptr, 0, kLookEvery);
}

Result<std::string> by_signals(const InitProcess& init, int number) {
  std::set<pid_t> done;
  for (int round = 0; round < kRounds; ++round) {
    const auto processes = TRY(processes_below(init.pid, init.pidfd));
    bool fresh = false;
    for (const auto& process : processes) {
      if (done.contains(process.pid)) continue;
      const auto sent = signal_process(process, number);
      if (sent == Sent::kYes) done.insert(process.pid);
      fresh = fresh || sent != Sent::kNo;
    }
    if (!fresh && number == SIGSTOP) await_stop(done);
    if (!fresh)
      return concat(number == SIGSTOP ? "SIGSTOP to " : "SIGCONT to ", done.size(), " processes");
  }
  return fail({},
              "the container makes new processes faster than they can be stopped; give it a cgroup "
              "(--cgroup auto)");
}

Result<std::string> act(const Container& container, bool stop) {
  const auto lock = TRY(container.lock());
  const auto state = TRY(read_state(container.dir()));
  if (!state || state->init.pid == 0) return fail({}, concat(container.name(), " is not running"));
  if (!state->cgroup.empty()) return by_cgroup(state->cgroup, stop);
  const auto init = TRY(find_way_in(container));
  return by_signals(init, stop ? SIGSTOP : SIGCONT);
}

Result<std::string> noted(const Container& container, std::string_view what,
                          Result<std::string> done) {
  if (done) write_event_of(container.dir(), {.name = container.name(), .what = std::string(what)});
  return done;
}

}  // namespace

Result<std::string> freeze_cgroup(const std::string& path) { return by_cgroup(path, true); }
Result<std::string> thaw_cgroup(const std::string& path) { return by_cgroup(path, false); }

Result<std::string> freeze(const Container& container) {
  return noted(container, event::kPause, act(container, true));
}
Result<std::string> thaw(const Container& container) {
  return noted(container, event::kUnpause, act(container, false));
}

}  // namespace userns::frontend
