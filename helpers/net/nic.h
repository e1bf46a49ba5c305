// The privileged acts: a veth between a bridge and a network namespace, and its removal.
//
// Killed at any point, they leave at worst a port that is down: it carries nothing, counts against
// its owner and goes with the namespace.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/namespace_fd.h"
#include "common/netlink.h"
#include "policy/net_rules.h"

namespace userns::net {

struct Nic {
  std::string host, name;  // the two ends: outside, inside
  int host_index = 0;
  std::uint32_t index = 0;
  Mac mac;
  std::uint32_t mtu = 0;
  std::vector<IpNet> addresses, gateways, dns;
  std::vector<Mac> macs;  // beside its own
};

// Whether the packet filter that userns-policy guard writes is loaded.
Result<bool> has_guard(Netlink& netfilter);

// Makes the pair in a free slot of the first line that has one, all of it or nothing. Where every
// slot, IP address, the MAC address or the name inside is taken, waits up to 200 ms for one whose
// namespace is just dying. NR-QUOTA, NR-ADDRESS, NR-MAC, NR-NAME, NR-PORT. `bridge` is what was
// judged; `user` a plain word for the alias; `host` tells this machine from others (NetGrant::mac).
Result<Nic> make_nic(Netlink& netlink, const NetGrant& grant, const Link& bridge,
                     const NetNamespace& netns, std::string_view user, std::string_view host);

// Removes a host end by the name that make_nic() gave it; the other end goes with it. That it is
// gone already is success.
Result<void> unmake_nic(Netlink& netlink, std::string_view host_end);

}  // namespace userns::net
