// What tells newuidmap and newgidmap apart. The code is one.
#pragma once

#include <sys/capability.h>

#include "policy/ids.h"

namespace userns::newidmap {

struct Traits {
  const char* program;
  IdKind kind;
  const char* capability_name;
  cap_value_t capability;  // that the kernel wants of whoever opens and writes the map
  const char* map_file;    // in /proc/PID
};

inline constexpr Traits kUid{"newuidmap", IdKind::kUid, "CAP_SETUID", CAP_SETUID, "uid_map"};
inline constexpr Traits kGid{"newgidmap", IdKind::kGid, "CAP_SETGID", CAP_SETGID, "gid_map"};

// The whole of both, from argv to the exit status. Contract: newuidmap(1).
[[noreturn]] void run(const Traits& traits, int argc, char** argv);

}  // namespace userns::newidmap
