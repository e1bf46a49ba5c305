// The signals that userns-run hands on, taken as data instead of interrupts.
#pragma once

#include <csignal>
#include <optional>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

class Signals {
 public:
  // Blocks TERM INT HUP QUIT USR1 USR2 WINCH TSTP CONT, but for those that the caller ignores (nohup).
  static Result<Signals> take();

  [[nodiscard]] const Fd& fd() const { return fd_; }                    // readable when one has come
  [[nodiscard]] const sigset_t& original() const { return original_; }  // for the command
  [[nodiscard]] std::optional<int> next() const;

 private:
  Fd fd_;
  sigset_t original_{};
};

}  // namespace userns::frontend
