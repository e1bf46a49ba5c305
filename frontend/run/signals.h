// The signals that userns-run hands on, taken as data instead of interrupts.
#pragma once

#include <csignal>
#include <initializer_list>
#include <optional>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// What stops a scope of systemd's (cgroup_entry.cc): systemd sends one signal to all in it, and
// this one means nothing to the processes of a container. next() tells it as SIGTERM.
inline constexpr int kScopeStops = SIGURG;

class Signals {
 public:
  // Blocks these, but for those that the caller ignores (nohup).
  static Result<Signals> take(std::initializer_list<int> which = {SIGTERM, SIGINT, SIGHUP, SIGQUIT,
                                                                  SIGUSR1, SIGUSR2, SIGWINCH,
                                                                  SIGTSTP, SIGCONT, kScopeStops});

  [[nodiscard]] const Fd& fd() const { return fd_; }  // readable when one has come
  [[nodiscard]] const sigset_t& original() const { return original_; }  // for the command
  [[nodiscard]] std::optional<int> next() const;

 private:
  Fd fd_;
  sigset_t original_{};
};

// Gives the caller its own mask back at the end of a scope.
class SignalsAgain {
 public:
  explicit SignalsAgain(const Signals& signals) : original_(signals.original()) {}
  SignalsAgain(const SignalsAgain&) = delete;
  SignalsAgain& operator=(const SignalsAgain&) = delete;
  ~SignalsAgain() { (void)::sigprocmask(SIG_SETMASK, &original_, nullptr); }

 private:
  sigset_t original_;
};

}  // namespace userns::frontend
