// File systems whose files another machine keeps, by rules of its own: it knows nothing of this
// host's user namespaces, and refuses to give a user's files to that user's subordinate ids. No
// container can live there.
#pragma once

#include <cstdint>
#include <string_view>

namespace userns::frontend {

// "NFS", "SMB" ... of statfs(2)'s f_type; empty where it is none of them. Pure.
std::string_view remote_file_system(std::uint64_t type);

}  // namespace userns::frontend
