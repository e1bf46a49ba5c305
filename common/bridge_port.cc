#include "common/bridge_port.h"

#include <linux/if_bridge.h>
#include <linux/neighbour.h>
#include <net/if.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

Result<void> set_port(const ChangeLink& change, const PortBinding& binding, int port) {
  NetlinkRequest set(RTM_NEWLINK, 0, link_header(port));
  set.put(IFLA_IFALIAS, binding.alias);
  set.nest(IFLA_LINKINFO, [&](NetlinkRequest& info) {
    info.put_name(IFLA_INFO_SLAVE_KIND, "bridge")
        .nest(IFLA_INFO_SLAVE_DATA, [&](NetlinkRequest& flags) {
          const std::uint8_t free = binding.terms.spoof ? 1 : 0,
                             isolated = binding.terms.isolated ? 1 : 0;
          flags.put_number(IFLA_BRPORT_LEARNING, free).put_number(IFLA_BRPORT_UNICAST_FLOOD, free);
          flags.put_number(IFLA_BRPORT_LOCKED, static_cast<std::uint8_t>(1 - free))
              .put_number(IFLA_BRPORT_ISOLATED, isolated);
          flags.put_number(IFLA_BRPORT_GUARD, std::uint8_t{1})
              .put_number(IFLA_BRPORT_MULTICAST_ROUTER, std::uint8_t{MDB_RTR_TYPE_DISABLED});
        });
  });
  return change(set);
}

// The host end is a port and nothing else. A host without IPv6 makes no addresses.
Result<void> make_no_address(const ChangeLink& change, int port) {
  NetlinkRequest request(RTM_NEWLINK, 0, link_header(port));
  request.nest(IFLA_AF_SPEC, [](NetlinkRequest& families) {
    families.nest(AF_INET6, [](NetlinkRequest& own) {
      own.put_number(IFLA_INET6_ADDR_GEN_MODE, std::uint8_t{IN6_ADDR_GEN_MODE_NONE});
    });
  });
  const auto done = change(request);
  return done || done.error().code == EAFNOSUPPORT ? Result<void>{} : done;
}

Result<void> set_vlan(const ChangeLink& change, const PortBinding& binding, int port) {
  const auto change_vlan = [&](std::uint16_t type, bridge_vlan_info vlan) {
    NetlinkRequest request(type, 0, link_header(port, AF_BRIDGE));
    request.nest(IFLA_AF_SPEC,
                 [&](NetlinkRequest& spec) { spec.put(IFLA_BRIDGE_VLAN_INFO, bytes_of(vlan)); });
    return change(request);
  };
  for (const auto tagged : binding.terms.tagged) TRY(change_vlan(RTM_SETLINK, {0, tagged}));
  const auto vlan = binding.terms.vlan, standard = binding.bridge.default_pvid;
  if (vlan == 0 || vlan == standard) return {};
  const auto added =
      change_vlan(RTM_SETLINK, {BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED, vlan});
  return added && standard != 0 ? change_vlan(RTM_DELLINK, {0, standard}) : added;
}

// An address that a locked port may send from. Sticky: no other port takes it over.
Result<void> set_address(const ChangeLink& change, const Mac& mac, int port) {
  ndmsg header{};
  header.ndm_family = AF_BRIDGE, header.ndm_ifindex = port, header.ndm_state = NUD_NOARP,
  header.ndm_flags = NTF_MASTER | NTF_STICKY;
  NetlinkRequest request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, header);
  const auto done = change(request.put(NDA_LLADDR, bytes_of(mac.bytes)));
  if (done || done.error().code != EEXIST) return done;
  return fail("NR-MAC", concat("MAC address ", mac.text(), " is in use on the bridge"), EEXIST);
}

Result<void> set_addresses(const ChangeLink& change, const PortBinding& binding, int port) {
  if (binding.terms.spoof) return {};
  for (const auto& mac : binding.macs) TRY(set_address(change, mac, port));
  return set_address(change, binding.mac, port);
}

}  // namespace

ifinfomsg link_header(int index, unsigned char family) {
  ifinfomsg header{};
  header.ifi_family = family, header.ifi_index = index;
  return header;
}

Result<void> pin_address(const ChangeLink& change, const Link& bridge) {
  if ((bridge.flags & IFF_RUNNING) != 0 || bridge.address == std::string(6, '\0')) return {};
  NetlinkRequest request(RTM_SETLINK, 0, link_header(bridge.index));
  return change(request.put(IFLA_ADDRESS, bridge.address));
}

Result<void> bind_port(const ChangeLink& change, const PortBinding& binding, int port) {
  auto done = set_port(change, binding, port);
  if (done) done = set_vlan(change, binding, port);
  if (done) done = set_addresses(change, binding, port);
  return done ? make_no_address(change, port) : done;
}

}  // namespace userns
