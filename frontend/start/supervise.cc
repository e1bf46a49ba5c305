#include "frontend/start/supervise.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <vector>

#include "common/report.h"
#include "frontend/start/default_action.h"
#include "frontend/start/raw_terminal.h"
#include "frontend/start/run.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kEndOfInputEvery = 50;  // ms

class Supervisor {
 public:
  Supervisor(const Plan& plan, const Payload& payload, const Signals& signals, Relay& relay)
      : plan_(plan), payload_(payload), signals_(signals), relay_(relay) {}

  Result<int> watch() {
    if (relay_.master().valid()) terminal_.enter(STDIN_FILENO);
    while (true) {
      const auto ended = step();
      if (!ended) return std::unexpected(ended.error());
      if (*ended) break;
    }
    relay_.drain();
    return status();
  }

 private:
  // One turn: waits for something to happen and sees to it. True: the payload has ended.
  Result<bool> step() {
    polled_.assign({{.fd = payload_.pidfd.get(), .events = POLLIN}, {.fd = signals_.fd().get(), .events = POLLIN}});
    relay_.want(polled_);
    if (::poll(polled_.data(), polled_.size(), time_left()) < 0 && errno != EINTR)
      return fail_errno("cannot wait for the command");
    if (polled_[0].revents != 0) return true;
    if (polled_[1].revents != 0)
      while (const auto number = signals_.next()) take(*number);
    judge_typed(relay_.move(std::span(polled_).subspan(2)));
    relay_.repeat_end_of_input();
    if (deadline_ && Clock::now() >= *deadline_) give_up();
    return false;
  }

  [[nodiscard]] int time_left() const {
    if (relay_.repeats_end_of_input()) return kEndOfInputEvery;
    if (!deadline_) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
    return left < 0 ? 0 : static_cast<int>(std::min<long>(left, 60'000));
  }

  void take(int number) {
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

  void deliver(int number) {
    if (number == SIGTERM && !deadline_) deadline_ = Clock::now() + plan_.spec.stop_timeout;
    if (is_deaf_to(number))
      end_by(number);
    else
      send(number);
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
    report("userns-run", {.rule = {},
                          .code = 0,
                          .text = cat("the command did not end within ", plan_.spec.stop_timeout.count(),
                                      " ms of SIGTERM (--stop-timeout): killed")});
    send(SIGKILL);
  }

  void send(int number) const { (void)::syscall(SYS_pidfd_send_signal, payload_.pidfd.get(), number, nullptr, 0); }

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
    if (typed.empty() || ::tcgetattr(relay_.master().get(), &modes) != 0 || (modes.c_lflag & ISIG) == 0) return;
    for (const char c : typed) {
      int number = 0;
      if (c == static_cast<char>(modes.c_cc[VINTR])) number = SIGINT;
      if (c == static_cast<char>(modes.c_cc[VQUIT])) number = SIGQUIT;
      if (number != 0 && ::tcgetpgrp(relay_.master().get()) == payload_.pid && is_deaf_to(number)) end_by(number);
    }
  }

  [[nodiscard]] Result<int> status() const {
    int raw = 0;
    while (::waitpid(payload_.pid, &raw, 0) < 0)
      if (errno != EINTR) return fail_errno("lost the command");
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
  std::optional<int> ended_by_;
};

}  // namespace

Result<int> supervise(const Plan& plan, const Payload& payload, const Signals& signals, Relay& relay) {
  return Supervisor(plan, payload, signals, relay).watch();
}

}  // namespace userns::frontend
