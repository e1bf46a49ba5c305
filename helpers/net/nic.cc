#include "helpers/net/nic.h"

#include <linux/if_bridge.h>
#include <linux/neighbour.h>
#include <linux/veth.h>
#include <net/if.h>
#include <time.h>

#include <cerrno>

#include "common/capability.h"
#include "policy/text.h"

namespace userns::net {
namespace {

constexpr unsigned kTries = 20, kSalts = 8;
constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 10'000'000};

Result<void> change(Netlink& netlink, NetlinkRequest& request) {
  return with_capability({CAP_NET_ADMIN}, [&] { return netlink.exchange(request); });
}

std::string_view bytes_of(const auto& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

ifinfomsg header_of(int index, unsigned char family = AF_UNSPEC) {
  ifinfomsg header{};
  header.ifi_family = family, header.ifi_index = index;
  return header;
}

// What is tried to be made; its names and addresses are in use or free.
struct Attempt {
  const NetGrant& grant;
  const Link& bridge;
  const NetNamespace& netns;
  std::string name;  // inside
  std::uint32_t slot;
  Mac mac;

  [[nodiscard]] std::string host() const { return grant.slot(slot).name(); }
  [[nodiscard]] const NetTerms& terms() const { return grant.terms(slot); }
  [[nodiscard]] std::uint32_t mtu() const { return terms().mtu != 0 ? terms().mtu : bridge.mtu; }
};

// A bridge without an address of its own takes a port's, and none when the last port goes. One
// without a live port is told to keep what it has; host ends bear the bridge's own address, so that
// none of them is ever a better one.
Result<void> pin_address(Netlink& netlink, const Link& bridge) {
  if ((bridge.flags & IFF_RUNNING) != 0 || bridge.address == std::string(6, '\0')) return {};
  NetlinkRequest request(RTM_SETLINK, 0, header_of(bridge.index));
  return change(netlink, request.put(IFLA_ADDRESS, bridge.address));
}

Result<void> make_pair(Netlink& netlink, const Attempt& attempt) {
  NetlinkRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  request.put_name(IFLA_IFNAME, attempt.host())
      .put_number(IFLA_MASTER, attempt.bridge.index)
      .put_number(IFLA_MTU, attempt.bridge.mtu);
  if (attempt.bridge.address != std::string(6, '\0'))
    request.put(IFLA_ADDRESS, attempt.bridge.address);
  request.nest(IFLA_LINKINFO, [&](NetlinkRequest& info) {
    info.put_name(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, [&](NetlinkRequest& data) {
      data.nest(VETH_INFO_PEER, [&](NetlinkRequest& peer) {
        peer.raw(bytes_of(ifinfomsg{}))
            .put_name(IFLA_IFNAME, attempt.name)
            .put(IFLA_ADDRESS, bytes_of(attempt.mac.bytes));
        peer.put_number(IFLA_MTU, attempt.mtu()).put_number(IFLA_NET_NS_FD, attempt.netns.fd.get());
      });
    });
  });
  return change(netlink, request);
}

Result<bool> is_in_use(Netlink& netlink, const Link& bridge, const Mac& mac) {
  ndmsg header{};
  header.ndm_family = AF_BRIDGE;
  NetlinkRequest request(RTM_GETNEIGH, 0, header);
  request.put(NDA_LLADDR, bytes_of(mac.bytes)).put_number(NDA_MASTER, bridge.index);
  const auto found = netlink.exchange(request);
  if (!found && found.error().code != ENOENT) return std::unexpected(found.error());
  return found.has_value();
}

Result<void> set_port(Netlink& netlink, const Attempt& attempt, const Link& port,
                      std::string_view user) {
  const auto& request = attempt.grant.request();
  std::string alias = concat("userns uid=", attempt.grant.slot(0).owner.value());
  if (!user.empty()) alias += concat(" user=", user);
  if (!request.container.empty()) alias += concat(" container=", request.container);
  NetlinkRequest set(RTM_NEWLINK, 0, header_of(port.index));
  set.put(IFLA_IFALIAS, concat(alias, " name=", attempt.name, " mac=", attempt.mac.text()));
  set.nest(IFLA_LINKINFO, [&](NetlinkRequest& info) {
    info.put_name(IFLA_INFO_SLAVE_KIND, "bridge")
        .nest(IFLA_INFO_SLAVE_DATA, [&](NetlinkRequest& flags) {
          const std::uint8_t free = attempt.terms().spoof ? 1 : 0,
                             isolated = attempt.terms().isolated ? 1 : 0;
          flags.put_number(IFLA_BRPORT_LEARNING, free).put_number(IFLA_BRPORT_UNICAST_FLOOD, free);
          flags.put_number(IFLA_BRPORT_LOCKED, static_cast<std::uint8_t>(1 - free))
              .put_number(IFLA_BRPORT_ISOLATED, isolated);
          flags.put_number(IFLA_BRPORT_GUARD, std::uint8_t{1});
        });
  });
  return change(netlink, set);
}

Result<void> set_vlan(Netlink& netlink, const Attempt& attempt, const Link& port) {
  const auto change_vlan = [&](std::uint16_t type, bridge_vlan_info vlan) {
    NetlinkRequest request(type, 0, header_of(port.index, AF_BRIDGE));
    request.nest(IFLA_AF_SPEC,
                 [&](NetlinkRequest& spec) { spec.put(IFLA_BRIDGE_VLAN_INFO, bytes_of(vlan)); });
    return change(netlink, request);
  };
  const auto vlan = attempt.terms().vlan, standard = attempt.bridge.default_pvid;
  if (vlan == 0 || vlan == standard) return {};
  const auto added =
      change_vlan(RTM_SETLINK, {BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED, vlan});
  return added && standard != 0 ? change_vlan(RTM_DELLINK, {0, standard}) : added;
}

// The one address that a locked port may send from. Sticky: no other port takes it over.
Result<void> set_address(Netlink& netlink, const Attempt& attempt, const Link& port) {
  if (attempt.terms().spoof) return {};
  ndmsg header{};
  header.ndm_family = AF_BRIDGE, header.ndm_ifindex = port.index, header.ndm_state = NUD_NOARP,
  header.ndm_flags = NTF_MASTER | NTF_STICKY;
  NetlinkRequest request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, header);
  return change(netlink, request.put(NDA_LLADDR, bytes_of(attempt.mac.bytes)));
}

// From a pair that is down to a port that works. Nothing goes up before all that binds it is there.
Result<Nic> set_up(Netlink& netlink, const Attempt& attempt, std::string_view user) {
  const auto port = find_link(netlink, attempt.host());
  if (!port || !*port)
    return fail("NR-PORT", "the NIC went while it was made (did its namespace end?)");
  auto done = set_port(netlink, attempt, **port, user);
  if (done) done = set_vlan(netlink, attempt, **port);
  if (done) done = set_address(netlink, attempt, **port);
  if (!done) return std::unexpected(done.error());
  const auto now = find_link(netlink, attempt.host());
  if (!now || !*now || (*now)->locked == attempt.terms().spoof)
    return fail("NR-PORT",
                "the kernel did not lock the port against spoofing (Linux 5.18 is needed)");
  auto header = header_of((*port)->index);
  header.ifi_flags = header.ifi_change = IFF_UP;
  NetlinkRequest up(RTM_NEWLINK, 0, header);
  if (done = change(netlink, up); !done) return std::unexpected(done.error());
  return Nic{attempt.host(), attempt.name, (*port)->index,
             (*port)->peer,  attempt.mac,  attempt.mtu()};
}

bool may_pass(const Error& error) {
  return error.rule == "NR-QUOTA" || error.rule == "NR-NAME" || error.rule == "NR-MAC" ||
         error.code == EEXIST;
}

Result<Nic> make_in_slot(Netlink& netlink, const Attempt& attempt, std::string_view user) {
  const auto busy = is_in_use(netlink, attempt.bridge, attempt.mac);
  if (!busy) return std::unexpected(busy.error());
  if (*busy)
    return fail("NR-MAC",
                concat("MAC address ", attempt.mac.text(), " is in use on ", attempt.bridge.name));
  const auto made = make_pair(netlink, attempt);
  if (!made && made.error().code == EXFULL)
    return fail("NR-BRIDGE", concat("bridge ", attempt.bridge.name, " has no free port"), EXFULL);
  if (!made && made.error().code == EEXIST)
    return fail("NR-NAME", concat("the name ", attempt.name, " is taken inside: give another"));
  if (!made)
    return fail("NR-PORT", concat("cannot make a NIC: ", made.error().text), made.error().code);
  auto nic = set_up(netlink, attempt, user);
  if (nic) return nic;
  const auto unmade = unmake_nic(netlink, attempt.host());
  return fail("NR-PORT",
              concat("cannot set up the NIC: ", nic.error().text,
                     unmade ? "" : "; its host end is still there, down: userns-net del ",
                     unmade ? "" : attempt.host()),
              nic.error().code);
}

// In a free slot. That it is free is only seen; that it was, making the pair says.
Result<Nic> try_slots(Netlink& netlink, Attempt& attempt, std::string_view user,
                      std::string_view host, unsigned salt) {
  const auto& chosen = attempt.grant.request().mac;
  const auto taken = [&](std::uint32_t slot) {
    return netlink.has_link(attempt.grant.slot(slot).name());
  };
  const auto slots = attempt.grant.slots_to_try(taken);
  for (const auto slot : slots) {
    if (taken(slot)) continue;
    attempt.slot = slot;
    attempt.mac = chosen ? *chosen : attempt.grant.mac(host, attempt.name, attempt.slot, salt);
    auto nic = make_in_slot(netlink, attempt, user);
    if (nic || nic.error().rule != "NR-NAME") return nic;
    // Was it the slot that was taken meanwhile, or the name inside?
    if (!taken(slot)) return nic;
  }
  return fail("NR-QUOTA",
              concat("all ", slots.size(), " NICs that net.conf gives uid ",
                     attempt.grant.slot(0).owner.value(), " on ", attempt.bridge.name,
                     " are in use: end a container, or ask the administrator for more"));
}

}  // namespace

Result<Nic> make_nic(Netlink& netlink, const NetGrant& grant, const Link& bridge,
                     const NetNamespace& netns, std::string_view user, std::string_view host) {
  if (const auto pinned = pin_address(netlink, bridge); !pinned)
    return std::unexpected(pinned.error());
  const auto wanted = grant.request().name;
  unsigned number = 0;
  Attempt attempt{grant, bridge, netns, wanted.empty() ? "eth0" : std::string(wanted), 0, {}};
  for (unsigned tries = 0;;) {
    auto nic = try_slots(netlink, attempt, user, host, tries > kTries ? tries - kTries : 0);
    if (nic || !may_pass(nic.error())) return nic;
    if (wanted.empty() && nic.error().rule == "NR-NAME" && number < kMostPorts) {
      attempt.name = concat("eth", ++number);
      continue;
    }
    if (++tries > kTries + (nic.error().rule == "NR-MAC" && !grant.request().mac ? kSalts : 0))
      return nic;
    ::nanosleep(&kPause, nullptr);
  }
}

Result<void> unmake_nic(Netlink& netlink, std::string_view host_end) {
  NetlinkRequest request(RTM_DELLINK, 0, ifinfomsg{});
  const auto gone = change(netlink, request.put_name(IFLA_IFNAME, host_end));
  return gone || gone.error().code == ENODEV ? Result<void>{} : gone;
}

}  // namespace userns::net
