// What is wrong with NICs on bridges, by the words of lxc-user-nic: it alone of the front-end
// speaks to the kernel about interfaces, and each start of this program is shorter for it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace userns::frontend {

struct NicProblem {
  std::string host, container, text;  // the host end; the container's name, which may be empty
};
// Of the NICs of one process's network namespace, or of all of the caller's (for root everybody's).
// Nothing where lxc-user-nic is not installed.
std::vector<NicProblem> nic_problems(std::optional<pid_t> pid);

}  // namespace userns::frontend
