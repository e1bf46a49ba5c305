#include "frontend/monitor/monitor.h"
#include "frontend/run/boot_news.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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
#include "frontend/monitor/client.h"
#include "frontend/monitor/commands.h"
#include "frontend/monitor/console/console_log.h"
#include "frontend/monitor/console/terminal.h"
#include "frontend/monitor/hooks.h"
#include "frontend/monitor/limit_watch.h"
#include "frontend/monitor/watchers.h"
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

constexpr std::size_t kMostClients = 64;  // that stay: console, wait, exec
constexpr std::size_t kMostAsking = 32;   // beside them, so that a crowd keeps no stop away
constexpr auto kRequestTakes = std::chrono::seconds(5);  // at most, after connecting
constexpr auto kFarewellTakes =
    std::chrono::seconds(2);          // until the last words have reached all watchers
constexpr int kLastWordsTake = 2000;  // ms
constexpr auto kDeathTakes = std::chrono::seconds(5);
constexpr auto kFirstLook = Milliseconds(2);  // whether all have ended
constexpr auto kLastLook = Milliseconds(1000);
constexpr auto kAskAgain = Milliseconds(500);

void keep_across_exec(int fd, bool keep) {
  if (fd >= 0) (void)::fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

void become_silent() {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int number = 0; number < 3 && null.valid(); ++number) (void)::dup2(null.get(), number);
  [[maybe_unused]] const int moved = ::chdir("/");
}

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
        notify_(h_.notify),
        life_(h_.life),
        network_(h_.network),
        signals_(std::move(signals)),
        log_(directory_, h_.log_size),
        terminal_(Fd(h_.terminal), log_),
        cgroup_(Cgroup::adopt(h_.cgroup, h_.limits)),
        watch_(cgroup_.payload()),
        commands_(cgroup_, user_namespace_) {
    for (const int fd : {h_.directory, h_.lock, h_.control, h_.pidfd, h_.user_namespace,
                         h_.terminal, h_.notify, h_.life, h_.network, h_.report})
      keep_across_exec(fd, false);
    for (const auto& client : h_.clients) {
      keep_across_exec(client.fd, false);
      clients_.emplace_back(Fd(client.fd), client.watches ? Mode::kWatches : Mode::kWaits);
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
    polled_.assign(
        {{.fd = signals_.fd().get(), .events = POLLIN},
         {.fd = notify_.get(), .events = POLLIN},
         {.fd = has_room() ? control_.get() : -1, .events = POLLIN},
         {.fd = terminal_.raw(), .events = terminal_.events(is_anyone_waited_for(clients_))},
         {.fd = watch_.fd().get(), .events = POLLIN}});
    for (const auto& client : clients_)
      polled_.push_back(
          {.fd = client.raw(), .events = events_of(client, terminal_.said(), terminal_.is_full())});
    if (::poll(polled_.data(), polled_.size(), time_left()) < 0) {
      if (errno != EINTR) kill_all();
      return;
    }
    if (polled_[0].revents != 0) take_signals();
    if (polled_[1].revents != 0) hear_system();
    if (polled_[3].revents != 0) terminal_.move(polled_[3].revents);
    if (polled_[4].revents != 0) hear_of_limits();
    std::size_t at = 5;
    for (auto& client : clients_) {
      if (at < polled_.size() && polled_[at].revents != 0) serve(client);
      ++at;
    }
    catch_up(clients_, terminal_.said());
    if (polled_[2].revents != 0) accept();
    look_at_clock();
    drop_closed();
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
    consider(commands_.next());
    for (const auto& client : clients_)
      if (client.mode == Mode::kNew)
        consider(client.since + kRequestTakes);
      else
        consider(waited_for_until(client));
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
    commands_.look_at_clock();
  }

  // --- clients ------------------------------------------------------------------------------
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
      terminal_.type(text);
    else if (const auto size = parse_size(text); size && kind == static_cast<char>(Said::kSize))
      terminal_.resize(size->rows, size->columns);
    else
      client.close();
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
        if (request->size) terminal_.resize(request->size->rows, request->size->columns);
        client.position = terminal_.said().begin();
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
    auto beside = commands_.begin(h_.program, request, fds);
    if (!beside) {
      client.say(Said::kError, to_text(beside.error()));
      client.close();
      return;
    }
    client.beside = std::move(*beside);
    client.say(Said::kOk, concat(client.beside.pid), &client.beside.pidfd);
  }

  void orphan(Client& client) {
    if (client.mode == Mode::kRuns && client.beside.pid != 0)
      commands_.orphan(std::exchange(client.beside, {}));
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
      commands_.reap(pid);
      for (auto& client : clients_)
        if (client.beside.pid == pid) beside_ended(client, status);
    }
  }

  void beside_ended(Client& client, int status) {
    commands_.leave(std::exchange(client.beside, {}), WIFSIGNALED(status));
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
    terminal_.read_rest();
    const int status = exit_status();
    met_ = cgroup_.what_was_met();
    for (const auto which : {LimitWatch::Of::kMemory, LimitWatch::Of::kPids}) look_at_limit(which);
    cgroup_.sweep(user_namespace_);
    cgroup_ = Cgroup{};
    if (!h_.pid_file.empty()) (void)::unlink(h_.pid_file.c_str());
    say_farewell(clients_, terminal_.said(), Clock::now() + kFarewellTakes);
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
    commands_.kill_orphans();
  }

  static bool ends_soon(const Beside& beside) {
    pollfd ended{.fd = beside.pidfd.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ended, 1, kLastWordsTake) > 0;
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
    const auto until = Clock::now() + restart_delay(h_.restarts);
    pid_ended();
    wake_ = until;
    while (Clock::now() < until && !stopping_) step();
    wake_.reset();
    return !stopping_;
  }

  void pid_ended() {
    h_.pid = 0;
    pidfd_.reset();
    terminal_.close();
    notify_.reset();
    h_.is_pid_1 = false;
  }

  void start_again() {
    const bool reboots = asks_for_reboot();
    if (!reboots && !wait_before_restart()) return;
    ++h_.restarts;
    auto next = next_run_of(h_);
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
  Fd directory_, lock_, control_, pidfd_, user_namespace_, notify_, life_, network_;
  Signals signals_;
  ConsoleLog log_;
  Terminal terminal_;
  Cgroup cgroup_;
  LimitWatch watch_;
  Commands commands_;
  std::array<bool, 2> said_{};  // of limits, by LimitWatch::Of
  std::list<Client> clients_;
  std::vector<pollfd> polled_;
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
  auto signals = Signals::take({SIGTERM, kScopeStops, SIGCHLD});
  if (!signals) return 1;
  return Monitor(std::move(handover), std::move(*signals)).live();
}

}  // namespace userns::frontend
