#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace userns::frontend {

// The addresses in the text of /proc/PID/net/fib_trie and /proc/PID/net/if_inet6, loopback and
// link-local ones left out. Pure.
std::vector<std::string> ipv4_addresses(std::string_view fib_trie);
std::vector<std::string> ipv6_addresses(std::string_view if_inet6);

}  // namespace userns::frontend
