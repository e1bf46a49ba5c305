#include "frontend/monitor/monitor.h"
#include "frontend/run/boot_news.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <optional>
#include <utility>

#include "common/report.h"
#include "frontend/events/event_log.h"
#include "frontend/monitor/beside.h"
#include "frontend/monitor/client.h"
#include "frontend/monitor/console_log.h"
#include "frontend/monitor/hooks.h"
#include "frontend/monitor/limit_watch.h"
#include "frontend/run/cgroup/cgroup.h"
#include "frontend/run/channel.h"
#include "frontend/run/default_action.h"
#include "frontend/run/exit_status.h"
#include "frontend/run/process.h"
#include "frontend/run/signals.h"
#include "frontend/run/watched.h"
#include "frontend/start/plan/init_kind.h"
#include "frontend/store/files.h"
#include "frontend/store/remains.h"
#include "frontend/store/state.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;
using Mode = Client::Mode;

constexpr std::size_t kRemembered = 128UL << 10U;  // of the console
constexpr std::size_t kChunk = 8192;
constexpr std::size_t kMostTyped = 64UL << 10U;
constexpr std::size_t kMostClients = 64;  // that stay: console, wait, exec
constexpr std::size_t kMostAsking = 32;   // beside them, so that a crowd keeps no stop away
constexpr auto kRequestTakes = std::chrono::seconds(5);  // at most, after connecting
constexpr auto kWatcherMayTake =
    Milliseconds(500);  // to read on, before the console goes on without it
constexpr auto kFarewellTakes =
    std::chrono::seconds(2);  // until the last words have reached all watchers
constexpr auto kOrphanMayTake = std::chrono::seconds(2);
constexpr auto kRemoveAgain = Milliseconds(20);  // a cgroup in which all were killed
constexpr int kRemovals = 50;
constexpr auto kRemoveLater = Milliseconds(1000);  // one that somebody is still in
constexpr int kLastWordsTake = 2000;               // ms
constexpr auto kDeathTakes = std::chrono::seconds(5);
constexpr auto kFirstLook = Milliseconds(2);  // whether all have ended
constexpr auto kLastLook = Milliseconds(1000);
constexpr auto kAskAgain = Milliseconds(500);
constexpr auto kFirstDelay = Milliseconds(100);  // before a restart on failure; doubled each time
constexpr unsigned kMostDoublings = 7;

void keep_across_exec(int fd, bool keep) {
  if (fd >= 0) (void)::fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

void become_silent() {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int number = 0; number < 3 && null.valid(); ++number) (void)::dup2(null.get(), number);
  [[maybe_unused]] const int moved = ::chdir("/");
}

// A command whose client is gone.
struct Orphan {
  Beside beside;
  std::optional<Clock::time_point> until;  // then it is killed
};

// What a client asks for that keeps its connection.
bool stays(Request::Kind kind) {
  return kind == Request::Kind::kWait || kind == Request::Kind::kReady ||
         kind == Request::Kind::kConsole || kind == Request::Kind::kExec ||
         kind == Request::Kind::kLongExec;
}

class Monitor {
 public:
  Monitor(Handover handover, Signals signals)
      : h_(std::move(handover)),
        directory_(h_.directory),
        lock_(h_.lock),
        control_(h_.control),
        pidfd_(h_.pidfd),
        user_namespace_(h_.user_namespace),
        terminal_(h_.terminal),
        notify_(h_.notify),
        life_(h_.life),
        network_(h_.network),
        signals_(std::move(signals)),
        log_(directory_, h_.log_size),
        ring_(kRemembered),
        cgroup_(Cgroup::adopt(h_.cgroup, h_.limits)),
        watch_(cgroup_.payload()) {
    for (const int fd : {h_.directory, h_.lock, h_.control, h_.pidfd, h_.user_namespace,
                         h_.terminal, h_.notify, h_.life, h_.network, h_.report})
      keep_across_exec(fd, false);
    for (const auto& client : h_.clients) {
      keep_across_exec(client.fd, false);
      clients_.emplace_back(Fd(client.fd), client.watches ? Mode::kWatches : Mode::kWaits);
    }
    if (terminal_.valid()) {
      (void)::fcntl(terminal_.get(), F_SETFL, ::fcntl(terminal_.get(), F_GETFL) | O_NONBLOCK);
      // Else it would hang up whenever nobody inside has it open.
      held_.reset(::ioctl(terminal_.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    }
    if (h_.ready_within >= 0) ready_by_ = Clock::now() + Milliseconds(h_.ready_within);
  }

  int live() {
    log_.begin_run();
    note(event::kStart, {}, h_.restarts == 0 ? "" : concat("restart ", h_.restarts));
    if (!ready_by_ && !tell_success()) kill_all();
    meet_waiting();
    reap();
    while (!ended_) step();
    await_empty();
    return end();
  }

 private:
  // --- the start's report -------------------------------------------------------------------
  // Who asked for the start and is gone did not want it any more.
  bool tell_success() {
    const Channel report{Fd(std::exchange(h_.report, -1))};
    return report.raw() < 0 || report.send({.kind = Message::Kind::kExec}).has_value();
  }
  void tell_failure(std::string text) {
    const Channel report{Fd(std::exchange(h_.report, -1))};
    if (report.raw() >= 0) [[maybe_unused]]
      const auto sent = report.send({.kind = Message::Kind::kFailure,
                                     .exit_status = kExitOwnFailure,
                                     .text = std::move(text)});
  }

  // --- events -------------------------------------------------------------------------------
  void note(std::string_view what, std::optional<int> status = {}, std::string text = {}) const {
    write_event_of(directory_, {.name = h_.name,
                                .what = std::string(what),
                                .pid = h_.pid,
                                .exit_status = status,
                                .text = std::move(text)});
  }

  void hear_of_limits() {
    while (const auto which = watch_.next()) look_at_limit(*which);
  }

  void look_at_limit(LimitWatch::Of which) {
    auto met = which == LimitWatch::Of::kMemory ? cgroup_.memory_met() : cgroup_.pids_met();
    auto& said = said_[static_cast<std::size_t>(which)];
    if (met.empty() || std::exchange(said, true)) return;
    watch_.forget(which);
    note(event::kLimit, {}, std::move(met));
  }

  // --- one turn -----------------------------------------------------------------------------
  void step() {
    polled_.assign({{.fd = signals_.fd().get(), .events = POLLIN},
                    {.fd = notify_.get(), .events = POLLIN},
                    {.fd = has_room() ? control_.get() : -1, .events = POLLIN},
                    {.fd = terminal_.get(), .events = terminal_events()},
                    {.fd = watch_.fd().get(), .events = POLLIN}});
    for (const auto& client : clients_)
      polled_.push_back({.fd = client.raw(), .events = events_of(client)});
    if (::poll(polled_.data(), polled_.size(), time_left()) < 0) {
      if (errno != EINTR) kill_all();
      return;
    }
    if (polled_[0].revents != 0) take_signals();
    if (polled_[1].revents != 0) hear_system();
    if (polled_[3].revents != 0) move_console(polled_[3].revents);
    if (polled_[4].revents != 0) hear_of_limits();
    std::size_t at = 5;
    for (auto& client : clients_) {
      if (at < polled_.size() && polled_[at].revents != 0) serve(client);
      ++at;
    }
    for (auto& client : clients_)
      if (client.mode == Mode::kWatches) client.catch_up(ring_);
    look_who_is_behind();
    if (polled_[2].revents != 0) accept();
    look_at_clock();
    drop_closed();
  }

  [[nodiscard]] short terminal_events() const {
    return static_cast<short>((held_back() ? 0 : POLLIN) | (typed_.empty() ? 0 : POLLOUT));
  }
  [[nodiscard]] short events_of(const Client& client) const {
    const bool watches = client.mode == Mode::kWatches;
    const bool deaf = watches && typed_.size() >= kMostTyped;
    return static_cast<short>((deaf ? 0 : POLLIN) |
                              (watches && client.position < ring_.end() ? POLLOUT : 0));
  }

  [[nodiscard]] int time_left() const {
    std::optional<Clock::time_point> next;
    const auto consider = [&](const std::optional<Clock::time_point>& time) {
      if (time && (!next || *time < *next)) next = time;
    };
    consider(deadline_);
    consider(dead_by_);
    consider(ready_by_);
    consider(wake_);
    for (const auto& orphan : orphans_) consider(orphan.until);
    consider(remove_again_);
    for (const auto& client : clients_)
      if (client.mode == Mode::kNew)
        consider(client.since + kRequestTakes);
      else if (is_waited_for(client))
        consider(*client.behind_since + kWatcherMayTake);
    if (!next) return -1;
    const auto left = std::chrono::ceil<Milliseconds>(*next - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
  }

  void look_at_clock() {
    const auto time = Clock::now();
    if (deadline_ && time >= *deadline_) kill_all();
    if (dead_by_ && time >= *dead_by_) does_not_end();
    if (ready_by_ && time >= *ready_by_) was_not_ready();
    if (wake_ && time >= *wake_ && stopping_ && deadline_) ask_to_stop(SIGTERM);
    for (auto& client : clients_)
      if (client.mode == Mode::kNew && time >= client.since + kRequestTakes) client.close();
    if (remove_again_ && time >= *remove_again_) remove_leaves();
    for (auto& orphan : orphans_)
      if (orphan.until && time >= *orphan.until) {
        end_beside(orphan.beside);
        orphan.until.reset();
      }
  }

  // --- the console --------------------------------------------------------------------------
  // A watcher that is slow gets a moment to read on; then the console goes on without it, until it
  // has caught up.
  [[nodiscard]] static bool is_waited_for(const Client& client) {
    return client.behind_since && !client.left_behind;
  }
  [[nodiscard]] bool held_back() const { return std::ranges::any_of(clients_, is_waited_for); }

  void look_who_is_behind() {
    const auto time = Clock::now();
    for (auto& client : clients_) {
      if (client.mode != Mode::kWatches || client.position + kRemembered / 2 >= ring_.end()) {
        client.behind_since.reset();
        client.left_behind = false;
      } else if (!client.behind_since) {
        client.behind_since = time;
      } else if (time >= *client.behind_since + kWatcherMayTake) {
        client.left_behind = true;
      }
    }
  }

  void move_console(short events) {
    if ((events & POLLOUT) != 0 && !typed_.empty()) {
      const auto put = ::write(terminal_.get(), typed_.data(), typed_.size());
      if (put > 0) typed_.erase(0, static_cast<std::size_t>(put));
      if (put < 0 && errno != EAGAIN && errno != EINTR) typed_.clear();
    }
    if ((events & POLLIN) != 0) (void)read_console();
    if ((events & (POLLHUP | POLLERR)) != 0 && (events & POLLIN) == 0) terminal_.reset();
  }

  bool read_console() {
    std::array<char, kChunk> chunk;  // NOLINT(*-member-init): only what is read is looked at
    const auto got = ::read(terminal_.get(), chunk.data(), chunk.size());
    if (got <= 0) return false;
    const std::string_view text(chunk.data(), static_cast<std::size_t>(got));
    ring_.append(text);
    log_.append(text);
    return true;
  }

  // Whoever came before us, or while the end began.
  void meet_waiting() {
    std::size_t before = 0;
    do {
      before = clients_.size();
      if (has_room()) accept();
    } while (clients_.size() > before);
    for (auto& client : clients_)
      if (client.mode == Mode::kNew) serve(client);
    drop_closed();
  }

  // --- clients ------------------------------------------------------------------------------
  [[nodiscard]] bool has_room() const { return clients_.size() < kMostClients + kMostAsking; }
  [[nodiscard]] bool is_crowded() const {
    return std::ranges::count_if(clients_, &Client::stays) >= static_cast<long>(kMostClients);
  }

  void accept() {
    Fd connection(::accept4(control_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.valid() && may_be_heard(connection))
      clients_.emplace_back(std::move(connection), Mode::kNew);
  }

  void drop_closed() {
    for (auto& client : clients_)
      if (!client.open()) orphan(client);
    if (std::ranges::any_of(clients_,
                            [](const Client& client) { return !client.open() && client.leash; }))
      stop(Milliseconds(h_.stop_timeout), SIGHUP);
    clients_.remove_if([](const Client& client) { return !client.open(); });
  }

  void serve(Client& client) {
    // One packet a turn: a client that sends without end must wait, too.
    auto packet = client.receive();
    if (!packet) return;
    if (client.mode == Mode::kNew)
      take_request(client, *packet);
    else if (client.mode == Mode::kWatches)
      take_typed(client, packet->text);
    else
      client.close();
  }

  void take_typed(Client& client, std::string_view text) {
    const char kind = text.front();
    text.remove_prefix(1);
    if (kind == static_cast<char>(Said::kData))
      typed_ += text;
    else if (const auto size = parse_size(text); size && kind == static_cast<char>(Said::kSize))
      resize(*size);
    else
      client.close();
  }

  void resize(const WindowSize& size) const {
    const winsize window{
        .ws_row = size.rows, .ws_col = size.columns, .ws_xpixel = 0, .ws_ypixel = 0};
    (void)::ioctl(terminal_.get(), TIOCSWINSZ, &window);
  }

  void take_request(Client& client, Packet& packet) {
    const auto request = packet.text == to_text(Request{.kind = Request::Kind::kLongExec})
                             ? read_long_exec(packet)
                             : parse_request(packet.text);
    if (!request) {
      client.say(Said::kError, request.error().text);
      client.close();
      return;
    }
    if (stays(request->kind) && is_crowded()) {
      client.say(Said::kError,
                 concat("it has ", kMostClients, " clients already; try again later"));
      client.close();
      return;
    }
    switch (request->kind) {
      case Request::Kind::kInit:
        if (ended_)
          client.say(Said::kError, concat(h_.name, " has just ended"));
        else if (pidfd_.valid())
          client.say(Said::kOk, concat(h_.pid), &pidfd_);
        else
          client.say(Said::kError, "its command has ended and is about to be started again");
        client.close();
        return;
      case Request::Kind::kWait:
        client.mode = Mode::kWaits;
        return;
      case Request::Kind::kReady:
        client.mode = Mode::kWantsReady;
        if (ready_) tell_ready(client);
        return;
      case Request::Kind::kConsole:
        if (request->size) resize(*request->size);
        client.position = ring_.begin();
        client.mode = Mode::kWatches;
        client.leash = request->leash;
        client.say(Said::kOk, "");
        return;
      case Request::Kind::kStop:
        client.mode = Mode::kWaits;
        client.stops = true;
        if (request->keep) h_.remove = false;
        stop(Milliseconds(request->timeout), SIGTERM);
        return;
      case Request::Kind::kExec:
      case Request::Kind::kLongExec:
        begin_beside(client, *request, packet.fds);
    }
  }

  // --- exec ---------------------------------------------------------------------------------
  void begin_beside(Client& client, const Request& request, const std::vector<Fd>& fds) {
    client.mode = Mode::kRuns;
    if (ended_ || !pidfd_.valid()) {
      client.say(Said::kError, concat(h_.name, " has just ended"));
      client.close();
      return;
    }
    auto beside = start_beside(h_.program, request, fds, cgroup_, user_namespace_, ++commands_);
    if (!beside) {
      client.say(Said::kError, to_text(beside.error()));
      client.close();
      return;
    }
    client.beside = std::move(*beside);
    client.say(Said::kOk, concat(client.beside.pid), &client.beside.pidfd);
  }

  // What it runs hears that the terminal is gone, and is killed a moment later.
  void orphan(Client& client) {
    if (client.mode != Mode::kRuns || client.beside.pid == 0) return;
    client.beside.signal(SIGHUP);
    orphans_.push_back(
        {.beside = std::exchange(client.beside, {}), .until = Clock::now() + kOrphanMayTake});
  }

  // With all that it has started; without a cgroup, what has left its process group lives on.
  void end_beside(const Beside& beside) const {
    beside.leaf.kill(user_namespace_);
    beside.signal(SIGKILL);
  }

  // Who is killed is gone a little later.
  void leave(ExecLeaf leaf, bool kill) {
    if (kill) leaf.kill(user_namespace_);
    leaves_.add(std::move(leaf));
    removals_left_ = kill ? kRemovals : 1;
    remove_leaves();
  }

  void remove_leaves() {
    leaves_.remove_empty(cgroup_.payload(), user_namespace_);
    remove_again_.reset();
    const auto pause = --removals_left_ > 0 ? kRemoveAgain : kRemoveLater;
    if (!leaves_.none()) remove_again_ = Clock::now() + pause;
  }

  // --- readiness ----------------------------------------------------------------------------
  void hear_system() {
    if (!says_ready(notify_, h_.pid) || ready_) return;
    ready_ = true;
    (void)replace_file(directory_, kReadyFile, "");
    note(event::kReady);
    if (std::exchange(ready_by_, std::nullopt) && !tell_success()) kill_all();
    for (auto& client : clients_)
      if (client.mode == Mode::kWantsReady) tell_ready(client);
  }

  static void tell_ready(Client& client) {
    client.say(Said::kOk, "");
    client.close();
  }

  void was_not_ready() {
    ready_by_.reset();
    tell_failure(concat("the system did not say that it is up within ", h_.ready_within,
                        " ms (--wait-ready): stopped"));
    stop(Milliseconds(h_.stop_timeout), SIGTERM);
  }

  // --- the end ------------------------------------------------------------------------------
  void take_signals() {
    while (const auto number = signals_.next()) {
      if (*number == SIGCHLD) reap();
      if (*number == SIGTERM) stop(Milliseconds(h_.stop_timeout), SIGTERM);
    }
  }

  void reap() {
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid == h_.pid) ended_ = status;
      std::erase_if(orphans_, [&](Orphan& orphan) {
        if (orphan.beside.pid != pid) return false;
        leave(std::move(orphan.beside.leaf), true);
        return true;
      });
      for (auto& client : clients_)
        if (client.beside.pid == pid) beside_ended(client, status);
    }
  }

  void beside_ended(Client& client, int status) {
    leave(std::move(client.beside.leaf), WIFSIGNALED(status));
    client.beside = {};
    client.say(Said::kEnd, concat(status_of(status)));
    client.close();
  }

  static int status_of(int raw) {
    return WIFSIGNALED(raw) ? kExitSignalBase + WTERMSIG(raw) : WEXITSTATUS(raw);
  }

  void send(int number) const {
    (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
  }

  void stop(Milliseconds timeout, int asked_by) {
    if (hangs_) {
      kill_all();
      return;
    }
    const auto until = Clock::now() + timeout;
    deadline_ = deadline_ ? std::min(*deadline_, until) : until;
    cgroup_.thaw();
    send(SIGCONT);
    if (std::exchange(stopping_, true)) return;
    note(event::kStop);
    ready_by_.reset();
    ask_to_stop(asked_by);
  }

  // An init that begins has not got its handlers yet, and busybox waits in sigtimedwait(2), which
  // does not show: both are asked again. A command that would never hear is killed at once.
  void ask_to_stop(int asked_by) {
    wake_.reset();
    const bool is_deaf = h_.is_pid_1 && left_to_default(h_.pid, h_.stop_signal);
    if (is_deaf && (!h_.boots || h_.kind == name_of(InitKind::kOther))) {
      ended_by_ = asked_by;
      kill_all();
      return;
    }
    send(h_.stop_signal);
    if (is_deaf) wake_ = Clock::now() + kAskAgain;
  }

  void kill_all() {
    stopping_ = true;
    deadline_.reset();
    send(SIGKILL);
    cgroup_.kill();
    dead_by_ = Clock::now() + kDeathTakes;
  }

  // Who is in the container's user namespace, or below it, whatever other namespaces and whoever
  // its parent is. One whose program is a file that its own user may not read does not show where
  // it is; it is known by its ids, and as a descendant of ours (the reaper of all that is ours).
  std::vector<Remainder> kill_rest() const {
    const auto space = number_of(user_namespace_);
    if (space == 0) return {};
    return remains(
        [&](const Seen& seen) {
          return seen.is_in(space) ||
                 (seen.hides() && seen.has_one_of(h_.own_ids) && is_below_us(seen.parent()));
        },
        true);
  }

  // It is over when nobody is left; until then it counts as running, and keeps its ids.
  void await_empty() {
    end_watched(std::move(life_));
    network_.reset();
    end_all_beside();
    auto pause = kFirstLook;
    dead_by_ = Clock::now() + kDeathTakes;
    while (!kill_rest().empty()) {
      wake_ = Clock::now() + pause;
      pause = std::min(pause * 2, kLastLook);
      step();
    }
    wake_.reset();
    dead_by_.reset();
    hangs_ = false;
  }

  // Asked to end, killed, and not gone: a process that hangs in the kernel.
  void does_not_end() {
    dead_by_.reset();
    hangs_ = true;
    const auto rest = kill_rest();
    const auto text =
        concat(h_.name, " is not over: ", rest.empty() ? "its first process" : to_text(rest),
               rest.size() > 1 ? " do" : " does", " not die and hang", rest.size() > 1 ? "" : "s",
               " in the kernel, in a file system that does not answer, perhaps; its ids stay its "
               "own until "
               "then, and it stops when that ends; to ask again: userns-run stop ",
               h_.name);
    for (auto& client : clients_) {
      if (client.mode != Mode::kWaits || !client.stops) continue;
      client.say(Said::kError, text);
      client.close();
    }
  }

  [[nodiscard]] bool asks_for_reboot() const {
    return (h_.boots || h_.is_pid_1) && !stopping_ && boot_end(*ended_) == BootEnd::kReboot;
  }

  [[nodiscard]] int exit_status() const {
    if ((h_.boots || h_.is_pid_1) && boot_end(*ended_) != BootEnd::kOther && WIFSIGNALED(*ended_))
      return 0;
    if (ended_by_ && WIFSIGNALED(*ended_) && WTERMSIG(*ended_) == SIGKILL)
      return kExitSignalBase + *ended_by_;
    return status_of(*ended_);
  }

  int end() {
    meet_waiting();
    while (terminal_.valid() && read_console()) continue;
    const int status = exit_status();
    met_ = cgroup_.what_was_met();
    for (const auto which : {LimitWatch::Of::kMemory, LimitWatch::Of::kPids}) look_at_limit(which);
    cgroup_.sweep(user_namespace_);
    cgroup_ = Cgroup{};
    if (!h_.pid_file.empty()) (void)::unlink(h_.pid_file.c_str());
    say_farewell_to_console();
    [[maybe_unused]] const auto hooked =
        run_hooks(h_.post_stop, h_.name, h_.pid, status,
                  {.timeout = Milliseconds(h_.hook_timeout)});  // nobody is left to tell
    record_end(status);
    note(event::kDie, status, met_);
    for (const char* name : {kReadyFile, kStateFile}) (void)::unlinkat(directory_.get(), name, 0);
    if (h_.report >= 0)
      tell_failure(concat("the container ended with status ", status,
                          " before it said that it is up (--wait-ready)"));
    if (is_to_start_again(status)) start_again();
    return end_for_good(status);
  }

  // The record of an earlier run is not this one's: better none, if the disk is full.
  void record_end(int status) const {
    if (!write_last_end(directory_, {.exit_status = status, .ended_at = now(), .text = met_}))
      (void)::unlinkat(directory_.get(), kLastFile, 0);
  }

  // Their commands have ended with the container, so they have no more to do than to say so.
  void end_all_beside() {
    for (auto& client : clients_)
      if (client.mode == Mode::kRuns && client.beside.pid != 0) {
        int status = 0;
        if (!ends_soon(client.beside)) client.beside.signal(SIGKILL);
        if (::waitpid(client.beside.pid, &status, 0) == client.beside.pid)
          beside_ended(client, status);
      }
    for (const auto& orphan : orphans_) orphan.beside.signal(SIGKILL);
    orphans_.clear();
  }

  static bool ends_soon(const Beside& beside) {
    pollfd ended{.fd = beside.pidfd.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ended, 1, kLastWordsTake) > 0;
  }

  // All that the watchers have not read yet, for as long as they read.
  void say_farewell_to_console() {
    const auto until = Clock::now() + kFarewellTakes;
    while (Clock::now() < until) {
      std::vector<pollfd> behind;
      for (auto& client : clients_) {
        if (client.mode != Mode::kWatches || !client.open()) continue;
        client.catch_up(ring_);
        if (client.open() && client.position < ring_.end())
          behind.push_back({.fd = client.raw(), .events = POLLOUT});
      }
      if (behind.empty()) return;
      (void)::poll(behind.data(), behind.size(), 100);
    }
  }

  bool is_to_start_again(int status) {
    if (asks_for_reboot()) return true;
    if (stopping_ || !h_.restart || (status == 0 && !h_.restart_always) || h_.restarts_left == 0)
      return false;
    --h_.restarts_left;
    return true;
  }

  // Whoever asks for a stop now is heard: the container counts as running.
  bool wait_before_restart() {
    const auto until = Clock::now() + kFirstDelay * (1U << std::min(h_.restarts, kMostDoublings));
    pid_ended();
    wake_ = until;
    while (Clock::now() < until && !stopping_) step();
    wake_.reset();
    return !stopping_;
  }

  void pid_ended() {
    h_.pid = 0;
    pidfd_.reset();
    terminal_.reset();
    notify_.reset();
    h_.is_pid_1 = false;
  }

  void start_again() {
    const bool reboots = asks_for_reboot();
    if (!reboots && !wait_before_restart()) return;
    ++h_.restarts;
    Handover next;
    next.directory = h_.directory;
    next.lock = h_.lock;
    next.control = h_.control;
    next.name = h_.name;
    next.program = h_.program;
    next.path = h_.path;
    next.log_size = h_.log_size;
    next.restart = h_.restart;
    next.restart_always = h_.restart_always;
    next.restarts_left = h_.restarts_left;
    next.restarts = h_.restarts;
    next.remove = h_.remove;
    next.cgroup = h_.cgroup;
    next.pre_start = h_.pre_start;
    next.started = h_.started;
    next.post_stop = h_.post_stop;
    next.rest = h_.rest;
    for (auto& client : clients_) {
      if (!client.open() || client.mode == Mode::kNew || client.mode == Mode::kRuns) continue;
      client.say(Said::kAgain, "");
      keep_across_exec(client.raw(), true);
      next.clients.push_back({.fd = client.raw(), .watches = client.mode == Mode::kWatches});
    }
    for (const int fd : {h_.directory, h_.lock, h_.control}) keep_across_exec(fd, true);
    auto words = to_words(next);
    words.insert(words.begin(), {"userns-run", std::string(kStarterWord)});
    reset_signals();
    ::execv(h_.program.c_str(), argv_of(words).data());
    log_.append(
        concat("userns-monitor: cannot start ", h_.program, " again: errno ", errno, "\r\n"));
  }

  // A watcher's connection may be full of the console's last words.
  static void say_at_last(Client& client, Said what, std::string_view text,
                          Clock::time_point until) {
    while (!client.say(what, text) && client.open() && Clock::now() < until) {
      pollfd full{.fd = client.raw(), .events = POLLOUT, .revents = 0};
      (void)::poll(&full, 1, 100);
    }
  }

  int end_for_good(int status) {
    for (const char* name : {kControlFile, kStartedFile})
      (void)::unlinkat(directory_.get(), name, 0);
    control_.reset();
    lock_.reset();  // before a client hears of the end: it may start the container again
    const auto until = Clock::now() + kFarewellTakes;
    for (auto& client : clients_) {
      if (!client.open() || client.mode == Mode::kNew || client.mode == Mode::kRuns) continue;
      if (!met_.empty()) say_at_last(client, Said::kMet, met_, until);
      say_at_last(client, Said::kEnd, concat(status), until);
      keep_across_exec(client.raw(), h_.remove);  // closed when the container is gone, then
    }
    if (h_.remove) {
      std::vector<std::string> words{"userns-run", "destroy", h_.name, concat("--path=", h_.path)};
      reset_signals();
      ::execv(h_.program.c_str(), argv_of(words).data());
    }
    return 0;
  }

  Handover h_;
  Fd directory_, lock_, control_, pidfd_, user_namespace_, terminal_, notify_, life_, network_,
      held_;
  Signals signals_;
  ConsoleLog log_;
  Ring ring_;
  Cgroup cgroup_;
  LimitWatch watch_;
  std::array<bool, 2> said_{};  // of limits, by LimitWatch::Of
  std::list<Client> clients_;
  std::vector<Orphan> orphans_;
  ExecLeaves leaves_;
  unsigned commands_ = 0;  // of exec, so far
  std::optional<Clock::time_point> remove_again_;
  int removals_left_ = 0;
  std::vector<pollfd> polled_;
  std::string typed_;  // and not yet taken by the terminal
  std::optional<Clock::time_point> deadline_;
  std::optional<Clock::time_point> ready_by_;
  std::optional<Clock::time_point> wake_;
  std::optional<Clock::time_point> dead_by_;  // killed; else it hangs
  std::optional<int> ended_;                  // waitpid(2)
  std::optional<int> ended_by_;
  std::string met_;  // which limits
  bool stopping_ = false;
  bool ready_ = false;
  bool hangs_ = false;
};

}  // namespace

int monitor(Handover handover) {
  (void)::prctl(PR_SET_NAME, "userns-monitor", 0, 0, 0);
  become_silent();
  for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTSTP, SIGUSR1, SIGUSR2, SIGXFSZ})
    (void)::signal(number, SIG_IGN);
  (void)::signal(SIGTERM, SIG_DFL);
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  auto signals = Signals::take({SIGTERM, SIGCHLD});
  if (!signals) return 1;
  return Monitor(std::move(handover), std::move(*signals)).live();
}

}  // namespace userns::frontend
