// The process of a user's network: it holds the namespace with the bridge, gives out addresses, and
// keeps names.
#pragma once

#include <string>
#include <string_view>

#include "common/fd.h"

namespace userns::frontend {

// What it is born with. It ends when the last member is gone.
struct NetworkBirth {
  std::string_view network;
  std::string subnet;   // "10.89.7": addresses of it, with a length of 24
  const Fd& directory;  // of the socket; its lock is flock(2) on it
  std::string socket;   // its name there
  const Fd& listening;  // not valid(): `first` is the only member
  const Fd& first;      // the first member's connection
};
[[noreturn]] void be_network(const NetworkBirth& birth);

}  // namespace userns::frontend
