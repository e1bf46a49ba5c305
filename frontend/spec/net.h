// The values of --net and --publish. Each parse function takes one value as it was typed; an
// error's text says what is wrong with it.
#pragma once

#include <string>
#include <string_view>

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

// none | host | user | user=NAME | auto |
// bridge=BR[,name=IFNAME][,address=CIDR...][,gateway=IP...][,dns=IP...][,mac=MAC][,mtu=N]
Result<NetWish> parse_net(std::string_view text);
// [ADDR:]HOST:CONTAINER, decimal ports, with an optional /udp or /tcp behind. ADDR: 192.0.2.1,
// [2001:db8::1], localhost (127.0.0.1).
Result<PublishWish> parse_publish(std::string_view text);

// "10.0.0.2", "fd00::2"
Result<IpAddress> parse_address(std::string_view text);

// Adds one more --net to those before: bridges add up, anything else stands alone.
Result<void> add_net(std::optional<NetWish>& all, NetWish one);
// Names for NICs without one: eth0, eth1 ...; fails where a name is there twice.
Result<void> name_nics(NetBridges& bridges);

// "10.0.0.2", "fd00::2"
std::string to_text(const IpAddress& address);

// "tcp 127.0.0.1:8080 -> 80"
std::string to_text(const PublishWish& publish);

}  // namespace userns::frontend
