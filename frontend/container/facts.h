// What there is to tell about a container, whether it runs or not.
//
// Nothing is asked of the container: pids, addresses and memory are the host kernel's word (/proc,
// cgroups).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/store/state.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

struct RunningFacts {
  pid_t pid = 0;  // of the container's first process, on the host; 0: it is just being started
  std::string init;
  std::int64_t started_at = 0;  // seconds since 1970; 0: it is just being started
  bool frozen = false;
  std::string problem;  // "written by version 2.0, ...": not all about it can be read
  std::optional<std::uint64_t> memory;  // bytes
  std::vector<std::string> addresses;   // not loopback, not link-local
};

struct ContainerFacts {
  std::string name;
  std::string path;
  std::optional<RunningFacts> running;  // none: stopped
  std::optional<LastEnd>
      last_end;  // none: it never ran, or the last run was killed with its monitor
  ContainerConfig config;
  std::optional<std::uint64_t> size;  // bytes, of its own files; none: nobody asked
  // Of the config, which then is empty; but for groups and autostart of one that runs, which are
  // those of its start.
  std::string problem;
};

ContainerFacts facts_of(const Container& container);

// The labels in its config, or, of one that runs and whose config cannot be read, those that it was
// started with.
Result<std::vector<std::string>> groups_of(const Container& container);

bool is_running(const Container& container);
bool is_frozen(const Container& container);

}  // namespace userns::frontend
