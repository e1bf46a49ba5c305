#include "frontend/start/supervise.h"
#include "frontend/run/boot_news.h"

#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <vector>

#include "frontend/run/default_action.h"
#include "frontend/run/exit_status.h"
#include "frontend/spec/tell.h"
#include "frontend/start/boot/boot.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/start/raw_terminal.h"
#include "frontend/start/record.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kEndOfInputEvery = 50;  // ms
constexpr auto kLastWords = std::chrono::milliseconds(500);
constexpr int kLookEvery = 50;  // ms
constexpr auto kNever = Clock::time_point::max();
constexpr auto kDeafTime = std::chrono::seconds(1);
constexpr auto kAskAgain = std::chrono::milliseconds(500);
constexpr char kEscape = 29;  // ^]
constexpr int kEscapes = 3;   // of them end a system, within
constexpr auto kEscapeTime = std::chrono::seconds(1);

class Supervisor {
 public:
  Supervisor(const Plan& plan, const Payload& payload, const Signals& signals, Relay& relay)
      : plan_(plan), payload_(payload), signals_(signals), relay_(relay) {}

  Result<Ended> watch() {
    if (plan_.boot) relay_.hold_terminal();
    if (plan_.spec.wait_ready) ready_by_ = began_ + *plan_.spec.wait_ready;
    if (relay_.master().valid()) terminal_.enter(STDIN_FILENO);
    while (true) {
      const auto ended = TRY(step());
      if (ended) break;
    }
    relay_.drain([this](int fd) { return wait_for_room(fd); });
    return status();
  }

 private:
  // One turn: waits for something to happen and sees to it. True: the payload has ended.
  Result<bool> step() {
    polled_.assign({{.fd = payload_.pidfd.get(), .events = POLLIN},
                    {.fd = signals_.fd().get(), .events = POLLIN},
                    {.fd = payload_.notify.get(), .events = POLLIN}});
    relay_.want(polled_);
    if (::poll(polled_.data(), polled_.size(), time_left()) < 0 && errno != EINTR)
      return fail_errno("cannot wait for the command");
    if (polled_[0].revents != 0) return true;
    if (polled_[1].revents != 0)
      while (const auto number = signals_.next()) take(*number);
    if (polled_[2].revents != 0) TRY(hear());
    judge_typed(relay_.move(std::span(polled_).subspan(3),
                            [this](std::string& typed) { take_escapes(typed); }));
    relay_.repeat_end_of_input();
    if (ask_again_ && Clock::now() >= *ask_again_) ask(true);
    if (deadline_ && Clock::now() >= *deadline_) give_up();
    if (ready_by_ && Clock::now() >= *ready_by_) was_not_ready();
    return false;
  }

  [[nodiscard]] int time_left() const {
    if (relay_.repeats_end_of_input()) return kEndOfInputEvery;
    const auto next = std::min(
        {deadline_.value_or(kNever), ready_by_.value_or(kNever), ask_again_.value_or(kNever)});
    if (next == kNever) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    return left < 0 ? 0 : static_cast<int>(std::min<long long>(left, 60'000));
  }

  // Whoever does not read what the command has written (a terminal that ^S has stopped) does not
  // hold us once we are asked to end.
  bool wait_for_room(int fd) {
    while (true) {
      std::array polled{pollfd{.fd = fd, .events = POLLOUT, .revents = 0},
                        pollfd{.fd = signals_.fd().get(), .events = POLLIN, .revents = 0}};
      if (asked_to_end_ && !last_words_by_) last_words_by_ = Clock::now() + kLastWords;
      if (last_words_by_ && Clock::now() >= *last_words_by_) return false;
      const int found = ::poll(polled.data(), polled.size(), last_words_by_ ? kLookEvery : -1);
      if (found < 0 && errno != EINTR) return false;
      if (found > 0 && polled[0].revents != 0) return true;
      while (const auto number = signals_.next()) note_end(*number);
    }
  }

  void note_end(int number) {
    constexpr std::array kAskToEnd{SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    asked_to_end_ = asked_to_end_ || std::ranges::find(kAskToEnd, number) != kAskToEnd.end();
  }

  void take(int number) {
    note_end(number);
    switch (number) {
      case SIGWINCH:
        relay_.copy_window_size();
        if (plan_.spec.init && !plan_.tty) send(number);
        return;
      case SIGTSTP:
        pause();
        return;
      case SIGCONT:
        resume();
        return;
      default:
        deliver(number);
    }
  }

  // A visitor that stands still (frozen by signals, or stopped) hears nothing but its end.
  [[nodiscard]] bool stands_still(int number) const {
    const bool is_to_end = number == SIGINT || number == SIGTERM;
    if (!plan_.joins || !is_to_end) return false;
    const auto state = stat_of_process(payload_.pid);
    return state.starts_with('T') || state.starts_with('t');
  }

  void deliver(int number) {
    if (stands_still(number)) {
      end_by(number);
      return;
    }
    if (plan_.boot) {
      deliver_to_system(number);
      return;
    }
    if (number == SIGTERM && !deadline_) deadline_ = Clock::now() + plan_.spec.stop_timeout;
    const int sent = number == SIGTERM ? stop_signal(plan_) : number;
    if (is_deaf_to(sent))
      end_by(number);
    else
      send(sent);
  }

  // To an init most signals mean something that their sender did not.
  void deliver_to_system(int number) {
    if (number == SIGTERM || number == SIGINT || number == SIGHUP) shut_down(number);
    if (number == SIGQUIT) end_by(number);
  }

  void shut_down(int asked_by) {
    if (stopping_) return;
    stopping_ = true;
    ready_by_.reset();
    deadline_ = Clock::now() + plan_.spec.stop_timeout;
    const bool is_known = plan_.boot->init.kind != InitKind::kOther;
    // One that waits in sigwait(3) looks as deaf as one that has never heard of the signal.
    if (!is_known && is_deaf_to(stop_signal(plan_))) {
      deadline_ = std::min(*deadline_, Clock::now() + kDeafTime);
      ended_by_ = asked_by;
    }
    ask(is_known);
  }

  // An init that begins has not got its handlers yet. To the known ones a request is the same
  // whether it comes once or twice; another program may take the second for "at once".
  void ask(bool until_heard) {
    const int number = stop_signal(plan_);
    ask_again_ =
        until_heard && is_deaf_to(number) ? std::optional(Clock::now() + kAskAgain) : std::nullopt;
    send(number);
  }

  Result<void> hear() {
    if (!says_ready(payload_.notify, payload_.pid) || ready_) return {};
    ready_ = true;
    ready_by_.reset();
    if (!plan_.spec.info_fd) return {};
    const auto after =
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began_).count();
    return write_info(plan_, concat(R"({"event":"ready","after_ms":)", after, "}"));
  }

  void was_not_ready() {
    tell("userns-run",
         {.rule = {},
          .code = 0,
          .text = concat("the system did not say that it is up within ",
                         plan_.spec.wait_ready->count(), " ms (--wait-ready): stopped")});
    not_ready_ = true;
    shut_down(SIGTERM);
  }

  [[nodiscard]] bool is_deaf_to(int number) const {
    const bool is_pid_1 = (plan_.namespaces & CLONE_NEWPID) != 0 && !plan_.spec.init;
    return is_pid_1 && left_to_default(payload_.pid, number);
  }

  void end_by(int number) {
    ended_by_ = number;
    send(SIGKILL);
  }

  void give_up() {
    deadline_.reset();
    if (ended_by_) {
      send(SIGKILL);
      return;
    }
    tell("userns-run",
         {.rule = {},
          .code = 0,
          .text = concat(plan_.boot ? "the system did not shut down within "
                                    : "the command did not end within ",
                         plan_.spec.stop_timeout.count(), " ms", plan_.boot ? "" : " of SIGTERM",
                         " (--stop-timeout): killed")});
    send(SIGKILL);
  }

  void send(int number) const {
    (void)::syscall(SYS_pidfd_send_signal, payload_.pidfd.get(), number, nullptr, 0);
  }

  // As the shell expects of a job: the command stops with us and goes on with us.
  void pause() {
    terminal_.leave();
    if (!plan_.tty) send(SIGSTOP);
    ::kill(::getpid(), SIGSTOP);
  }

  void resume() {
    if (!plan_.tty) send(SIGCONT);
    if (relay_.master().valid()) terminal_.enter(STDIN_FILENO);
    relay_.resume();
    relay_.copy_window_size();
  }

  // ^C at a command that is pid 1: its terminal has sent the signal, and the kernel dropped it.
  void judge_typed(const std::string& typed) {
    termios modes{};
    if (plan_.boot || typed.empty() || ::tcgetattr(relay_.master().get(), &modes) != 0 ||
        (modes.c_lflag & ISIG) == 0)
      return;
    for (const char c : typed) {
      int number = 0;
      if (c == static_cast<char>(modes.c_cc[VINTR])) number = SIGINT;
      if (c == static_cast<char>(modes.c_cc[VQUIT])) number = SIGQUIT;
      if (number != 0 && ::tcgetpgrp(relay_.master().get()) == payload_.pid && is_deaf_to(number))
        end_by(number);
    }
  }

  // The one that counts is not passed on: at an odd number of them bash waits for a character to
  // search for, and then outlives the hang-up by which the system would end it.
  void take_escapes(std::string& typed) {
    if (plan_.boot) std::erase_if(typed, [this](char c) { return ends_by(c); });
  }

  bool ends_by(char typed) {
    if (typed != kEscape || Clock::now() > escapes_since_ + kEscapeTime) escapes_ = 0;
    if (typed != kEscape) return false;
    if (escapes_ == 0) escapes_since_ = Clock::now();
    const bool taken = stopping_;
    if (++escapes_ < kEscapes) return taken;
    escapes_ = 0;
    if (stopping_) end_by(SIGTERM);
    shut_down(SIGTERM);
    return true;
  }

  static int say_reboot() {
    tell("userns-run",
         {.rule = {},
          .code = 0,
          .text = concat(
              "the system was rebooted from inside: status ", kExitReboot,
              "; run it once more to go on (one that is made with userns-run create and run with "
              "userns-run start is started again by itself)")});
    return kExitReboot;
  }

  [[nodiscard]] Result<Ended> status() const {
    int raw = 0;
    while (::waitpid(payload_.pid, &raw, 0) < 0)
      if (errno != EINTR) return fail_errno("lost the command");
    return Ended{.status = status_of(raw), .by_a_signal = WIFSIGNALED(raw)};
  }

  [[nodiscard]] int status_of(int raw) const {
    if (not_ready_) return kExitOwnFailure;
    const auto end = plan_.boot ? boot_end(raw) : BootEnd::kOther;
    if (end == BootEnd::kReboot && !stopping_) return say_reboot();
    if (end != BootEnd::kOther) return 0;
    if (!WIFSIGNALED(raw)) return WEXITSTATUS(raw);
    const bool ours = ended_by_ && WTERMSIG(raw) == SIGKILL;
    return kExitSignalBase + (ours ? *ended_by_ : WTERMSIG(raw));
  }

  const Plan& plan_;
  const Payload& payload_;
  const Signals& signals_;
  Relay& relay_;
  RawTerminal terminal_;
  std::vector<pollfd> polled_;
  std::optional<Clock::time_point> deadline_;
  std::optional<Clock::time_point> ask_again_;
  std::optional<int> ended_by_;
  bool asked_to_end_ = false;
  std::optional<Clock::time_point> last_words_by_;
  const Clock::time_point began_ = Clock::now();
  std::optional<Clock::time_point> ready_by_;
  bool ready_ = false;
  bool not_ready_ = false;
  bool stopping_ = false;
  Clock::time_point escapes_since_;
  int escapes_ = 0;
};

}  // namespace

Result<Ended> supervise(const Plan& plan, const Payload& payload, const Signals& signals,
                        Relay& relay) {
  return Supervisor(plan, payload, signals, relay).watch();
}

}  // namespace userns::frontend
