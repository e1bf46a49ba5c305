// All containers of all users, for root.
//
// What a user has is read by a process that has become that user, and is no more than a claim: a
// stranger's text, bounded, and waited for only so long. What the kernel says is root's own look:
// whose the first process is, its cgroup, its memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/cli/usage/top_text.h"
#include "frontend/cli/usage/usage.h"
#include "policy/error.h"

namespace userns::frontend {

struct HostContainer {
  uid_t uid = 0;
  std::string user;  // the name, or the number of one who has none
  std::string name;
  std::string path;
  std::string state;
  std::string init;
  std::string problem;
  std::int64_t started_at = 0;  // seconds since 1970; 0: it does not run
  ProcessId first =
      {};              // {}: it does not run, or its record names a process that is not the user's
  std::string cgroup;  // below its limits; empty: none that is to be seen
  std::vector<std::string> ports;
};

// Root alone. `problems`: users who could not be asked, a sentence each.
Result<std::vector<HostContainer>> host_containers(std::vector<std::string>& problems);
std::vector<Watched> to_watched(const std::vector<HostContainer>& all);
// Which the administrator has set for the user of this cgroup of a container.
UserLimits limits_of_user(const HostContainer& container);

int list_host(bool as_json);
// `words`: "USER/NAME".
int info_host(std::string_view which, bool as_json);

}  // namespace userns::frontend
