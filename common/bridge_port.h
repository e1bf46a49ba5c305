// What binds a port of a bridge to what its line of net.conf says: flags, VLANs, addresses. The
// caller has the right to change it; `change` raises it, if it has to be raised.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "common/netlink.h"
#include "policy/net_rules.h"

namespace userns {

using ChangeLink = std::function<Result<void>(NetlinkRequest&)>;

struct PortBinding {
  const NetTerms& terms;
  const Link& bridge;
  const Mac& mac;
  std::span<const Mac> macs;  // beside it
  std::string_view alias;
};

ifinfomsg link_header(int index, unsigned char family = AF_UNSPEC);

// A bridge without an address of its own takes a port's, and none when the last port goes. One
// without a live port is told to keep what it has; host ends bear the bridge's own address, so that
// none of them is ever a better one.
Result<void> pin_address(const ChangeLink& change, const Link& bridge);

// All of it, for a port that is down and on the bridge. NR-MAC: an address is in use there.
Result<void> bind_port(const ChangeLink& change, const PortBinding& binding, int port);

}  // namespace userns
