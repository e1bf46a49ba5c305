// A program of another project that runs as long as something of ours does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// What a program is run with: its words, and the fd that it gets as number 3 (none: -1).
struct Command {
  const std::string& path;
  std::vector<std::string> words;
  int third = -1;
};

// Starts the command below a watcher of its own, which is nobody's child, and waits for a byte on
// `ready`. What is returned keeps it running: the command ends when that fd closes, however that
// comes about. `theirs` is the end of ours that goes to the command alone; it is closed.
Result<Fd> run_watched(std::string_view name, const Command& command, const Fd& ready, Fd* theirs);

// Has the command end, and returns when it is gone and what it held (a port of the host's) is free;
// at most five seconds later.
void end_watched(Fd life);

}  // namespace userns::frontend
