// What userns-run says to people, and the exit status that goes with it.
#pragma once

#include <string_view>

#include "policy/error.h"

namespace userns::frontend {

// All of `text` on stdout, lines that are safe for a terminal (printable.h). 0, or own_failure() if
// it cannot be written (a full disk, a closed pipe).
int print(std::string_view text);
// The same for what is a container's own output, or has colours of ours in it and was made
// printable before.
int print_as_it_is(std::string_view text);

// One line on a terminal, written over and over: how far a long work is.
class ProgressLine {
 public:
  ProgressLine();
  void show(std::string_view text);
  void clear();
  // Whether anybody sees it: stderr is a terminal.
  [[nodiscard]] bool on_terminal() const { return on_terminal_; }

 private:
  bool on_terminal_;
  bool shown_ = false;
};

// The error on stderr in one line; returns the status of a failure of our own.
int own_failure(const Error& error);

}  // namespace userns::frontend
