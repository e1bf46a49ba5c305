// Where the processes of a user's networks are found: a directory of sockets that is the user's
// alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// A connection to the network's process, which is made if it is not there.
Result<Fd> connect_or_start_network(std::string_view network);

// The same for one that is there.
Result<Fd> connect_network(std::string_view network);

// Of one that nobody can connect to.
Result<Fd> start_nameless_network();

// Networks that may be there, in order: a process that was killed leaves its socket.
Result<std::vector<std::string>> network_names();

}  // namespace userns::frontend
