// What is wrong with a NIC that userns-net made. The kernel says it, not the container: its network
// namespace is asked about from outside, which the owner of its user namespace may.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

#include "frontend/nics/host_ends.h"

namespace userns::frontend {

// Sentences, each with what to do; none: all is well, or the other end cannot be seen.
std::vector<std::string> troubles(const HostEnd& nic);

// Those whose other end is in the network namespace of the process.
Result<std::vector<HostEnd>> nics_of(pid_t pid);

}  // namespace userns::frontend
