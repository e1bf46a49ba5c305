// Starting a named container in the background: the side of the one who asks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "frontend/container/console.h"
#include "frontend/run/failure.h"
#include "frontend/store/store.h"

namespace userns::frontend {

struct StartWish {
  std::vector<std::string> options;  // over those of the config file, each as "--name=value"
  std::vector<std::string> command;  // instead of init; empty: none is given
  bool remove = false;               // afterwards
  std::optional<Restart> restart;    // over that of the config file
  bool retry = false;  // a start that fails is tried again, as far as the restart policy goes
  std::uint64_t log_size = 1UL << 20U;
  bool console = false;  // and what stands on it from the first byte on; with a leash
                         // (frontend/container/console.h)
};

// Returns when the command's exec has happened (with --wait-ready: when the system is up), or did
// not: then the error says what the same start in the foreground would have said, and nothing is
// left. The container then lives by a monitor in a session of its own; whoever kills the caller
// before that has ended the start, too. Attached is who wishes for the console: from then on, a
// signal asks the container to stop as soon as it runs; a second one gives up a start that still is
// not over, with 128+N.
Step<std::optional<Attached>> start_in_background(const Container& container,
                                                  const StartWish& wish);

}  // namespace userns::frontend
