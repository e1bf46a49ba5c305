// A command in a container that runs, with everything that its own processes have: namespaces,
// cgroup, limits.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "frontend/run/failure.h"
#include "frontend/store/store.h"

namespace userns::frontend {

struct ExecWish {
  std::string user;  // a name or a number, by the container's files; empty: root
  std::string group;
  std::string cwd;  // empty: /
  std::vector<std::pair<std::string, std::string>> env;
  bool tty = false;
  std::vector<std::string> command;  // at least one word
};

// The command's exit status, as run()'s. Call it once, with one thread.
Step<int> execute_beside(const Container& container, const ExecWish& wish);

}  // namespace userns::frontend
