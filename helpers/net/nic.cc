#include "helpers/net/nic.h"

#include <linux/neighbour.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <time.h>

#include <cerrno>

#include "common/bridge_port.h"
#include "common/capability.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::net {
namespace {

constexpr unsigned kTries = 20, kSalts = 8;
constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 10'000'000};

Result<void> change(Netlink& netlink, NetlinkRequest& request) {
  return with_capability({CAP_NET_ADMIN}, [&] { return netlink.exchange(request); });
}

ChangeLink changes(Netlink& netlink) {
  return [&](NetlinkRequest& request) { return change(netlink, request); };
}

// What is tried to be made; its names and addresses are in use or free.
struct Attempt {
  const NetGrant& grant;
  const Link& bridge;
  const NetNamespace& netns;
  std::string name;  // inside
  std::string_view user;
  std::uint32_t slot;
  Mac mac;
  std::vector<IpNet> addresses;
  std::vector<Mac> macs;  // beside its own

  [[nodiscard]] std::string host() const { return grant.slot(slot).name(); }
  [[nodiscard]] const NetTerms& terms() const { return grant.terms(slot); }
  [[nodiscard]] std::uint32_t mtu() const { return terms().mtu != 0 ? terms().mtu : bridge.mtu; }
  [[nodiscard]] PortBinding binding(std::string_view text) const {
    return {terms(), bridge, mac, macs, text};
  }
  [[nodiscard]] std::string alias() const {
    const auto& container = grant.request().container;
    return concat("userns uid=", grant.slot(0).owner.value(), user.empty() ? "" : " user=", user,
                  container.empty() ? "" : " container=", container, " name=", name,
                  " mac=", mac.text(), " bridge=", bridge.name);
  }
};

// The kernel makes no name twice, and one goes with its interface: who has which address.
std::string name_of(const IpNet& address) { return concat("userns-", address.address()); }

Result<void> make_pair(Netlink& netlink, const Attempt& attempt) {
  NetlinkRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  request.put_name(IFLA_IFNAME, attempt.host())
      .put_number(IFLA_GROUP, attempt.terms().port_group())
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

// The first of the line's addresses that is free. One that a NIC of the same names has is waited
// for while that may be just going.
Result<void> choose_addresses(Netlink& netlink, Attempt& attempt, unsigned salt) {
  const auto count = attempt.terms().addresses();
  for (std::uint32_t turn = 0; turn < count; ++turn) {
    const auto place = attempt.grant.place(attempt.name, attempt.slot, turn + salt);
    attempt.mac = Mac::of_address(attempt.terms(), place);
    attempt.addresses = attempt.grant.addresses(attempt.slot, place);
    bool free = !attempt.addresses.empty(), mine = false;
    for (const auto& address : attempt.addresses) {
      const auto holder = TRY(find_link(netlink, name_of(address), IFLA_ALT_IFNAME));
      free = free && !holder;
      mine = mine || (holder && holder->alias == attempt.alias());
    }
    if (free) return {};
    if (mine && salt == 0) break;
  }
  return fail("NR-ADDRESS", concat("all addresses that net.conf gives uid ",
                                   attempt.grant.slot(0).owner.value(), " on ", attempt.bridge.name,
                                   " are in use: end a container, or ask the administrator"));
}

Result<void> take_addresses(Netlink& netlink, const Attempt& attempt, const Link& port) {
  if (attempt.addresses.empty()) return {};
  NetlinkRequest request(RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL, link_header(port.index));
  request.nest(IFLA_PROP_LIST, [&](NetlinkRequest& names) {
    for (const auto& address : attempt.addresses) names.put_name(IFLA_ALT_IFNAME, name_of(address));
  });
  const auto done = change(netlink, request);
  if (done || done.error().code != EEXIST) return done;
  return fail("NR-ADDRESS", "another NIC took the address meanwhile", EEXIST);
}

// From a pair that is down to a port that works. Nothing goes up before all that binds it is there.
Result<Nic> set_up(Netlink& netlink, const Attempt& attempt) {
  const auto port = find_link(netlink, attempt.host());
  if (!port || !*port)
    return fail("NR-PORT", "the NIC went while it was made (did its namespace end?)");
  const auto alias = attempt.alias();
  auto done = take_addresses(netlink, attempt, **port);
  if (done) done = bind_port(changes(netlink), attempt.binding(alias), (*port)->index);
  if (!done) return std::unexpected(done.error());
  const auto now = find_link(netlink, attempt.host());
  if (!now || !*now || (*now)->locked == attempt.terms().spoof)
    return fail("NR-PORT",
                "the kernel did not lock the port against spoofing (Linux 5.18 is needed)");
  auto header = link_header((*port)->index);
  header.ifi_flags = header.ifi_change = IFF_UP;
  NetlinkRequest up(RTM_NEWLINK, 0, header);
  if (done = change(netlink, up); !done) return std::unexpected(done.error());
  return Nic{attempt.host(),      attempt.name,  (*port)->index,    (*port)->peer,
             attempt.mac,         attempt.mtu(), attempt.addresses, attempt.terms().gateways,
             attempt.terms().dns, attempt.macs};
}

bool may_pass(const Error& error) {
  return error.rule == "NR-QUOTA" || error.rule == "NR-NAME" || error.rule == "NR-MAC" ||
         error.rule == "NR-ADDRESS" || error.code == EEXIST;
}

Result<Nic> make_in_slot(Netlink& netlink, const Attempt& attempt) {
  const auto busy = TRY(is_in_use(netlink, attempt.bridge, attempt.mac));
  if (busy)
    return fail("NR-MAC",
                concat("MAC address ", attempt.mac.text(), " is in use on ", attempt.bridge.name));
  const auto made = make_pair(netlink, attempt);
  if (!made && made.error().code == EXFULL)
    return fail("NR-BRIDGE", concat("bridge ", attempt.bridge.name, " has no free port"), EXFULL);
  if (!made && made.error().code == EEXIST)
    return fail("NR-NAME", concat("the name ", attempt.name, " is taken inside: give another"));
  if (!made)
    return fail("NR-PORT", concat("cannot make a NIC: ", made.error().text), made.error().code);
  auto nic = set_up(netlink, attempt);
  if (nic) return nic;
  const auto unmade = unmake_nic(netlink, attempt.host());
  return fail(nic.error().rule.empty() ? "NR-PORT" : nic.error().rule,
              concat("cannot set up the NIC: ", nic.error().text,
                     unmade ? "" : "; its host end is still there, down: userns-net del ",
                     unmade ? "" : attempt.host()),
              nic.error().code);
}

// In a free slot. That it is free is only seen; that it was, making the pair says.
Result<Nic> try_slots(Netlink& netlink, Attempt& attempt, std::string_view host, unsigned salt) {
  const auto& chosen = attempt.grant.request().mac;
  const auto taken = [&](std::uint32_t slot) {
    return netlink.has_link(attempt.grant.slot(slot).name());
  };
  const auto slots = attempt.grant.slots_to_try(taken);
  for (const auto slot : slots) {
    if (taken(slot)) continue;
    attempt.slot = slot;
    attempt.mac = chosen ? *chosen : attempt.grant.mac(host, attempt.name, attempt.slot, salt);
    attempt.macs.clear();
    for (unsigned i = 1; i <= attempt.terms().macs; ++i)
      attempt.macs.push_back(attempt.grant.mac(host, attempt.name, slot, salt + (i << 10U)));
    if (attempt.terms().addresses() != 0) TRY(choose_addresses(netlink, attempt, salt));
    auto nic = make_in_slot(netlink, attempt);
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

Result<bool> has_guard(Netlink& netfilter) {
  const nfgenmsg header{.nfgen_family = NFPROTO_BRIDGE, .version = NFNETLINK_V0, .res_id = 0};
  NetlinkRequest request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0, header);
  const auto found = change(netfilter, request.put_name(NFTA_TABLE_NAME, kGuardTable));
  if (!found && found.error().code != ENOENT) return std::unexpected(found.error());
  return found.has_value();
}

Result<Nic> make_nic(Netlink& netlink, const NetGrant& grant, const Link& bridge,
                     const NetNamespace& netns, std::string_view user, std::string_view host) {
  TRY(pin_address(changes(netlink), bridge));
  const auto wanted = grant.request().name;
  unsigned number = 0;
  Attempt attempt{grant, bridge, netns, wanted.empty() ? "eth0" : std::string(wanted), user, 0,
                  {},    {},     {}};
  for (unsigned tries = 0;;) {
    auto nic = try_slots(netlink, attempt, host, tries > kTries ? tries - kTries : 0);
    if (nic || !may_pass(nic.error())) return nic;
    if (wanted.empty() && nic.error().rule == "NR-NAME" && number < kMostPorts) {
      attempt.name = concat("eth", ++number);
      continue;
    }
    const bool may_salt =
        nic.error().rule == "NR-ADDRESS" || (nic.error().rule == "NR-MAC" && !grant.request().mac);
    if (++tries > kTries + (may_salt ? kSalts : 0)) return nic;
    ::nanosleep(&kPause, nullptr);
  }
}

Result<void> unmake_nic(Netlink& netlink, std::string_view host_end) {
  NetlinkRequest request(RTM_DELLINK, 0, ifinfomsg{});
  const auto gone = change(netlink, request.put_name(IFLA_IFNAME, host_end));
  return gone || gone.error().code == ENODEV ? Result<void>{} : gone;
}

}  // namespace userns::net
