// Step 1 of a helper's life: nothing the caller could have arranged around the process survives.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns {

struct StartupLimits {
  std::size_t most_args;    // argv[0] included
  std::size_t longest_arg;  // bytes
};

// Bounds argv (ST-ARGS), opens fds 0-2 where they are closed (on /dev/null), closes every other fd
// but those of `keep` (-1: none), empties the environment, sets umask 077 and cwd /, resets the
// slack of timers and SIGCHLD, raises soft limits of open files and processes. Fails with ST-STATE
// where a step that must succeed does not. Returns argv[1..]. The views live as long as the
// process.
Result<std::vector<std::string_view>> sanitise(int argc, char** argv, const StartupLimits& limits,
                                               std::span<const int> keep);

// argv[index] as text; empty where there is none. Safe before sanitise().
std::string_view raw_arg(int argc, char** argv, int index);

}  // namespace userns
