// What a pidfd is of. Source: pidfd_open(2), proc(5).
#pragma once

#include <cstdint>
#include <optional>

namespace userns {

// The pid behind a pidfd, whose number is borrowed; 0 if its process is gone or not to be seen from
// this pid namespace. No value: the fd is something else.
std::optional<std::uint64_t> pid_of_pidfd(int pidfd);
// Asked after what was opened by that pid: then the number was still that process's.
bool has_ended(int pidfd);

}  // namespace userns
