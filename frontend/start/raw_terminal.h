// The caller's terminal while a command with a terminal of its own runs: raw, and always restored.
#pragma once

#include <termios.h>

namespace userns::frontend {

class RawTerminal {
 public:
  RawTerminal() = default;
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  RawTerminal(RawTerminal&&) = delete;
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal() { leave(); }

  // Does nothing where `fd` is not a terminal. `fd` is not owned.
  void enter(int fd);
  void leave();

 private:
  int fd_ = -1;
  termios saved_{};
};

}  // namespace userns::frontend
