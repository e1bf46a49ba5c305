// --net user=NAME: a network that the caller's containers share, without an administrator.
//
//   container A             the network's process, in a user       container B
//                           and network namespace of its own
//   lan0 <---- veth ----> p7 -------- bridge br0 -------- p19 <---- veth ----> lan0
//
// The veth is made from outside, as the caller: the owner of two user namespaces has all rights
// over the network namespaces of both. The network's process gives out addresses and names, and
// ends with the last member. Its socket is in a directory of the caller's, and it serves nobody
// else. Each container has a way out of its own (net_helpers.h).
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// A place in a network.
struct NetworkSeat {
  Fd connection;      // its closing is the end of the place
  std::string given;  // a word of --net for lan0 and its address; then lines of /etc/hosts
};

// The name of a container's own interface in the network.
inline constexpr std::string_view kNetworkNic = "lan0";

// Makes the network's process if there is none. Before a cgroup of the container's is entered: the
// process shall outlive it. Kept for join_network(), also through an exec.
Result<void> hold_network(std::string_view network);

// A place for the container whose first process is `target`, under `name` (empty: none).
Result<NetworkSeat> join_network(std::string_view network, std::string_view name, pid_t target);

// The container's /etc/hosts, open for reading and writing: names are kept in it from now on.
void keep_hosts(const Fd& connection, const Fd& hosts);

struct NetworkMember {
  std::string name;
  std::string address;
};
struct NetworkFacts {
  std::string network;
  std::string addresses;  // "10.89.7.0/24"
  std::vector<NetworkMember> members;
};
// The caller's networks that are there.
Result<std::vector<NetworkFacts>> networks();

// Whether such a network can be made for a process in namespaces of its own: makes one that nobody
// else finds, and waits for its end. Empty: it can; else why not.
std::string try_network(pid_t target);

}  // namespace userns::frontend
