// Names and numbers of a user's network. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace userns::frontend {

// The text of a hosts file with these lines in place of those that a network wrote before. It is
// not shorter than it was, so that a reader never finds it cut.
std::string hosts_with_network(std::string_view present, std::string_view lines);

// What the others of a network may call a container with this host name: its first label. Host
// names come from archives and images, too, and none may stand for a host of the world, or for the
// other container itself. Empty: nothing.
std::string neighbour_name(std::string_view host_name);

// The same number for the same name.
std::uint32_t hash_of(std::string_view name);

// The port of a container on the network's bridge, of the last byte of its address.
std::string port_name(unsigned host);

}  // namespace userns::frontend
