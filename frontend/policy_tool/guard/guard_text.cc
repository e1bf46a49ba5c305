#include "frontend/policy_tool/guard/guard_text.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "policy/net_rules.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using Elements = std::set<std::string>;

struct Sets {
  Elements unguarded, spoofing, tagged;          // groups of ports
  Elements pairs4, pairs6, targets6;             // MAC and IP address of a NIC that has both
  Elements owned4, owned6, owned_targets;        // addresses that are given, and those of gateways
  std::map<std::uint32_t, std::uint64_t> rates;  // of groups: bytes a second
};

constexpr std::string_view kWays[] = {"iif", "oif"};
// Beside the bytes of one second, which nft has anyway: room for a few frames at any rate.
constexpr std::uint64_t kBurst = 64UL << 10U;

// As a number, for what nft compares without knowing that it is an address.
std::string as_number(const IpNet& net) {
  std::string text = "0x";
  for (const auto byte : net.bytes)
    text += {"0123456789abcdef"[byte >> 4U], "0123456789abcdef"[byte & 15U]};
  return text;
}

// What the kernel inside gives itself, by EUI-64.
IpNet link_local(const Mac& mac) {
  IpNet net;
  const auto& m = mac.bytes;
  net.bytes = {0xfe, 0x80, 0,    0,    0,    0,    0,   0, static_cast<std::uint8_t>(m[0] ^ 2U),
               m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
  return net;
}

void add_pair(Sets& sets, const Mac& mac, const IpNet& address) {
  const auto pair = concat(mac.text(), " . ");
  if (address.is_v4()) sets.pairs4.insert(concat(pair, address.address()));
  if (address.is_v4()) return;
  sets.pairs6.insert(concat(pair, address.address()));
  sets.targets6.insert(concat(pair, as_number(address)));
}

void add_owned(Sets& sets, const IpNet& net, const std::string& text) {
  (net.is_v4() ? sets.owned4 : sets.owned6).insert(text);
  if (net.is_v4()) return;
  const auto last = net.at(net.size() - 1);
  sets.owned_targets.insert(net.size() == 1 ? as_number(net)
                                            : concat(as_number(net), "-", as_number(last)));
}

void add_addresses(Sets& sets, const NetTerms& terms) {
  for (std::uint32_t place = 0; place < terms.addresses(); ++place) {
    const auto mac = Mac::of_address(terms, place);
    for (const auto& block : terms.blocks) add_pair(sets, mac, block.at(place));
    add_pair(sets, mac, link_local(mac));
  }
  for (const auto& block : terms.blocks) add_owned(sets, block, block.text());
  for (const auto* list : {&terms.gateways, &terms.dns})
    for (auto one : *list) {
      one.prefix = IpNet{}.prefix;
      add_owned(sets, one, one.address());
    }
}

// Each way has meters of its own, one for each port's name: a port that is made anew goes on with
// what is left, and a user has no more names than ports.
std::string meters_of(const Sets& sets) {
  std::string text;
  for (const auto& [group, rate] : sets.rates)
    for (const std::string_view way : kWays)
      text += concat("  set ", way, group, " { typeof meta ", way,
                     "name; size 65535; flags dynamic,timeout; timeout 1m; }\n");
  return text;
}

std::string rates_of(const Sets& sets, std::string_view way) {
  std::string text;
  for (const auto& [group, rate] : sets.rates)
    text +=
        concat("    ", way, "group ", group, " update @", way, group, " { meta ", way,
               "name limit rate over ", rate, " bytes/second burst ", kBurst, " bytes } drop\n");
  return text;
}

bool is_free(const NetLine& line) { return line.terms.guard == NetTerms::Guard::kNo; }

void add_line(Sets& sets, const NetTerms& terms) {
  const auto group = terms.port_group();
  if (terms.spoof) sets.spoofing.insert(concat(group));
  if (!terms.tagged.empty()) sets.tagged.insert(concat(group));
  add_addresses(sets, terms);
  if (terms.rate == 0) return;
  auto& rate = sets.rates.try_emplace(group, terms.rate).first->second;
  rate = std::min(rate, terms.rate);
}

// Where lines share a group, all its ports are held as the strictest of them wants.
void be_strict(Sets& sets, const NetTerms& terms) {
  const auto group = concat(terms.port_group());
  sets.unguarded.erase(group);
  if (!terms.spoof) sets.spoofing.erase(group);
  if (terms.tagged.empty()) sets.tagged.erase(group);
}

Sets sets_of(std::span<const NetLine> lines) {
  Sets sets;
  sets.unguarded.insert(concat(kUnguardedGroup));
  sets.spoofing.insert(concat(kSpoofingGroup));
  std::vector<NetTerms> guarded;
  for (const auto& line : lines) {
    if (is_free(line)) sets.unguarded.insert(concat(line.terms.port_group()));
    if (!is_free(line) && line.count > 0) guarded.push_back(line.terms);
  }
  for (const auto& terms : guarded) add_line(sets, terms);
  for (const auto& terms : guarded) be_strict(sets, terms);
  return sets;
}

std::string set_text(std::string_view name, std::string_view kind, const Elements& elements) {
  std::string list;
  for (const auto& one : elements) list += concat(list.empty() ? "" : ", ", one);
  return concat("  set ", name, " { ", kind, "; ",
                list.empty() ? "" : concat("elements = { ", list, " } "), "}\n");
}

// In `same` only pairs of equal addresses ever are: what is looked up there is whether two fields
// of a frame are equal, which nftables has no other word for. It is asked after the bridge has seen
// that the port sends from its own address, so that no port fills the set.
//
// TCP comes first, as most frames are of it and nothing is asked of them but their source.
constexpr std::string_view kChains = R"(
  chain port {
    @ll,0,32 0x0180c200 jump reserved
    ether type { 8021q, 8021ad } iifgroup != @tagged drop
    iifgroup @spoofing ether saddr & ff:fe:00:00:00:00 == 56:74:00:00:00:00 drop
    meta protocol vmap { ip : goto from_ip4, ip6 : goto from_ip6, arp : goto from_arp }
    drop
  }
  chain reserved {
    ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 drop comment "BPDUs and other groups"
  }
  chain from_arp {
    arp htype != 1 drop
    arp ptype != ip drop
    arp hlen != 6 drop
    arp plen != 4 drop
    arp operation != { request, reply } drop
    ether saddr & ff:fe:00:00:00:00 != 56:74:00:00:00:00 arp saddr ip != @owned4 return
    arp operation request arp saddr ip 0.0.0.0 ether saddr . arp daddr ip @pairs4 return
    ether saddr . arp saddr ip != @pairs4 drop
  }
  chain from_ip4 {
    meta l4proto tcp goto source4
    meta l4proto { 88, 89, 103, 112 } drop comment "routers' own: EIGRP, OSPF, PIM, VRRP"
    meta l4proto igmp @th,0,8 0x11 drop comment "membership query"
    meta l4proto udp jump from_udp4
    goto source4
  }
  chain from_udp4 {
    udp sport 67 drop
    udp dport 68 drop comment "a DHCP server's"
    udp dport 67 ether saddr & ff:fe:00:00:00:00 == 56:74:00:00:00:00 drop comment "has an address"
  }
  chain source4 {
    ether saddr . ip saddr @pairs4 return
    ether saddr & ff:fe:00:00:00:00 == 56:74:00:00:00:00 drop
    ip saddr @owned4 drop
  }
  chain from_ip6 {
    meta l4proto tcp ether saddr . ip6 saddr @pairs6 return
    meta l4proto { 88, 89, 103, 112 } drop
    icmpv6 type { mld-listener-query, nd-router-advert, nd-redirect } drop
    udp sport 547 drop
    udp dport 546 drop
    ether saddr & ff:fe:00:00:00:00 == 56:74:00:00:00:00 jump addressed6
    ip6 saddr @owned6 ether saddr . ip6 saddr != @pairs6 drop
    icmpv6 type nd-neighbor-advert @th,64,128 @owned_targets ether saddr . @th,64,128 != @targets6 drop
    icmpv6 type 0-255 return
    udp dport 0-65535 return
    frag frag-off > 0 return
    meta l4proto { icmpv6, udp } drop comment "a first fragment without their header"
    meta l4proto 0-255 return
    drop comment "headers that hide what follows them"
  }
  chain addressed6 {
    udp dport 547 drop
    icmpv6 type nd-neighbor-advert ether saddr . @th,64,128 != @targets6 drop
    ip6 saddr :: icmpv6 type nd-neighbor-solicit ether saddr . @th,64,128 @targets6 return
    ip6 saddr :: icmpv6 type { mld-listener-report, mld2-listener-report, nd-router-solicit } return
    ether saddr . ip6 saddr != @pairs6 drop
  }
  chain locked_arp {
    iifgroup @spoofing return
    update @same { ether saddr . @ll,48,48 }
    ether saddr . @nh,64,48 != @same drop comment "ARP sender"
  }
  chain locked_dhcp {
    iifgroup @spoofing return
    update @same { ether saddr . @ll,48,48 }
    ether saddr . @th,288,48 != @same drop comment "DHCP client"
  }
}
)";

constexpr std::string_view kOurs = R"(iifname "u*" meta iifkind "veth" iifgroup != @unguarded)";
// Which frames are looked at once more after the bridge's lock: the others shall not pay for it.
constexpr std::string_view kLookedAt[][2] = {{"@ll,0,32 0x0180c200", "reserved"},
                                             {"meta protocol arp", "locked_arp"},
                                             {"meta protocol ip udp dport 67", "locked_dhcp"}};

std::string second_look() {
  std::string rules;
  for (const auto& [frames, chain] : kLookedAt)
    rules += concat("    ", frames, " ", kOurs, " jump ", chain, "\n");
  return rules;
}

std::string hook(std::string_view name, std::string_view rules) {
  return concat("  chain ", name, " {\n    type filter hook ", name,
                " priority -310; policy accept;\n", rules, "  }\n");
}

// Frames to some reserved groups come to the host's own stack without a hook of the bridge's, and
// so do all of a port whose bridge has gone. Nothing else does with a port as its interface.
constexpr std::string_view kOthers[] = {"inet", "arp"};
// Those of guard=no, too: what is let through on a bridge is not let through without one.
constexpr std::string_view kAnyOfOurs = R"(iifname "u*" meta iifkind "veth")";

std::string other_text(std::string_view family) {
  return concat("table ", family, " ", kGuardTable, " {\n  chain own {\n    type filter hook ",
                family == "arp" ? "input" : "prerouting", " priority -310; policy accept;\n    ",
                kAnyOfOurs, " drop\n  }\n}\n");
}

std::string table_text(std::span<const NetLine> lines) {
  const auto sets = sets_of(lines);
  return concat(set_text("unguarded", "type devgroup", sets.unguarded),
                set_text("spoofing", "type devgroup", sets.spoofing),
                set_text("tagged", "type devgroup", sets.tagged),
                set_text("pairs4", "type ether_addr . ipv4_addr", sets.pairs4),
                set_text("pairs6", "type ether_addr . ipv6_addr", sets.pairs6),
                set_text("targets6", "typeof ether saddr . @th,64,128", sets.targets6),
                set_text("owned4", "type ipv4_addr; flags interval; auto-merge", sets.owned4),
                set_text("owned6", "type ipv6_addr; flags interval; auto-merge", sets.owned6),
                set_text("owned_targets", "typeof @th,64,128; flags interval; auto-merge",
                         sets.owned_targets),
                "  set same { typeof ether saddr . @ll,48,48; size 65535; flags dynamic,timeout; "
                "timeout 1s; }\n",
                meters_of(sets),
                hook("prerouting", concat(rates_of(sets, "iif"), "    ", kOurs, " jump port\n")),
                sets.rates.empty() ? "" : hook("postrouting", rates_of(sets, "oif")),
                hook("input", second_look()), hook("forward", second_look()), kChains);
}

}  // namespace

std::string guard_mark(std::span<const NetLine> lines) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : table_text(lines))
    hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  return concat("conf_", hash);
}

std::string guard_text(std::span<const NetLine> lines) {
  const auto table = concat("table bridge ", kGuardTable);
  std::string others;
  for (const auto family : kOthers)
    others += concat("table ", family, " ", kGuardTable, " {}\ndelete table ", family, " ",
                     kGuardTable, "\n", other_text(family));
  return concat(others, table, " {}\ndelete ", table, "\n", table, " {\n  chain ",
                guard_mark(lines), " {}\n", table_text(lines));
}

}  // namespace userns::frontend
