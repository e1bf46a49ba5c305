#include "frontend/nics/host_ends.h"

#include <linux/if_bridge.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/netlink.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Its own alias needs no escapes.
std::string own_alias(std::string_view alias) {
  const bool is_ours =
      alias.starts_with("userns ") && alias.find_first_of("\"\\\n") == std::string_view::npos;
  return is_ours ? std::string(alias) : "";
}

constexpr std::string_view kAddressName = "userns-";

// Each alternative name that is an address (net.conf(5)). Several attributes have one type.
std::vector<std::string> addresses_of(const Attrs& link) {
  std::vector<std::string> found;
  auto rest = link.bytes(IFLA_PROP_LIST);
  nlattr head{};
  while (rest.size() >= sizeof head) {
    std::memcpy(&head, rest.data(), sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > rest.size()) break;
    auto value = rest.substr(sizeof head, head.nla_len - sizeof head);
    value = value.substr(0, value.find('\0'));
    if (head.nla_type == IFLA_ALT_IFNAME && value.starts_with(kAddressName))
      if (const auto net = IpNet::parse(value.substr(kAddressName.size())))
        found.push_back(net->address());
    rest.remove_prefix(std::min<std::size_t>(NLA_ALIGN(head.nla_len), rest.size()));
  }
  return found;
}

void count_bytes(HostEnd& nic, std::string_view stats) {
  rtnl_link_stats64 counted{};
  std::memcpy(&counted, stats.data(), std::min(stats.size(), sizeof counted));
  nic.sent = counted.rx_bytes, nic.received = counted.tx_bytes;
}

HostEnd host_end(const Link& link, const Attrs& attrs, Slot slot) {
  const auto port = attrs.nested(IFLA_LINKINFO).nested(IFLA_INFO_SLAVE_DATA);
  const bool has_peer = !attrs.bytes(IFLA_LINK_NETNSID).empty();
  HostEnd nic{.name = link.name,
              .index = link.index,
              .slot = slot,
              .bridge = {},
              .master = link.master,
              .netnsid = has_peer ? attrs.number<std::int32_t>(IFLA_LINK_NETNSID) : -1,
              .alias = own_alias(attrs.text(IFLA_IFALIAS)),
              .peer = link.peer,
              .is_up = (link.flags & IFF_UP) != 0,
              .has_carrier = attrs.number<std::uint8_t>(IFLA_CARRIER) != 0,
              .is_locked = link.locked,
              .is_disabled = !port.bytes(IFLA_BRPORT_STATE).empty() &&
                             port.number<std::uint8_t>(IFLA_BRPORT_STATE) == BR_STATE_DISABLED,
              .addresses = addresses_of(attrs)};
  count_bytes(nic, attrs.bytes(IFLA_STATS64));
  return nic;
}

}  // namespace

std::string HostEnd::word(std::string_view key) const {
  const auto begin = concat(" ", key, "=");
  const auto at = alias.find(begin);
  if (at == std::string::npos) return {};
  std::string_view rest = std::string_view(alias).substr(at + begin.size());
  return std::string(take_until(rest, ' '));
}

Result<std::vector<HostEnd>> all_nics() {
  auto netlink = TRY(Netlink::open());
  std::vector<HostEnd> nics;
  std::map<std::uint32_t, std::string> names;
  NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{});
  const auto take = [&](const nlmsghdr& message) {
    const Link link(message);
    const auto attrs = link_attrs(message);
    names[static_cast<std::uint32_t>(link.index)] = link.name;
    const auto slot = link.kind == "veth" ? Slot::from_name(link.name) : std::nullopt;
    if (!slot) return;
    nics.push_back(host_end(link, attrs, *slot));
  };
  TRY(netlink.exchange(request, take));
  for (auto& nic : nics) nic.bridge = names[nic.master];
  return nics;
}

std::string list_text(std::span<const HostEnd> nics, bool json) {
  std::string lines;
  auto array = nlohmann::ordered_json::array();
  for (const auto& nic : nics) {
    const auto uid = nic.slot.owner.value();
    array.push_back({{"host", nic.name},
                     {"host_ifindex", nic.index},
                     {"uid", uid},
                     {"bridge", nic.bridge},
                     {"slot", nic.slot.number},
                     {"netnsid", nic.netnsid},
                     {"alias", nic.alias}});
    lines += concat(nic.name, " uid=", uid, " bridge=", nic.bridge, " slot=", nic.slot.number,
                    " netnsid=", nic.netnsid, " ", nic.alias, "\n");
  }
  constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;
  return json ? concat(array.dump(-1, ' ', true, kReplace), "\n") : lines;
}

namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += concat(text.empty() ? "" : ",", word);
  return text;
}

std::string port_state(const HostEnd& nic) {
  if (nic.bridge.empty()) return "no bridge";
  if (!nic.is_up) return "down";
  if (!nic.has_carrier) return "down inside";
  return nic.is_disabled ? "disabled" : "works";
}

}  // namespace

std::string list_all_text(std::span<const HostEnd> nics, bool json) {
  std::string lines;
  auto array = nlohmann::ordered_json::array();
  for (const auto& nic : nics) {
    const auto uid = nic.slot.owner.value();
    array.push_back({{"host", nic.name},
                     {"uid", uid},
                     {"user", nic.word("user")},
                     {"container", nic.word("container")},
                     {"name", nic.word("name")},
                     {"mac", nic.word("mac")},
                     {"addresses", nic.addresses},
                     {"bridge", nic.word("bridge")},
                     {"slot", nic.slot.number},
                     {"state", port_state(nic)},
                     {"sent", nic.sent},
                     {"received", nic.received}});
    const auto user = nic.word("user"), container = nic.word("container");
    lines += concat(nic.name, " user=", user.empty() ? concat(uid) : user,
                    " container=", container.empty() ? "-" : container, " name=", nic.word("name"),
                    " addresses=", nic.addresses.empty() ? "-" : joined(nic.addresses),
                    " bridge=", nic.word("bridge"), " sent=", nic.sent, " received=", nic.received,
                    " state=", port_state(nic), "\n");
  }
  constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;
  return json ? concat(array.dump(-1, ' ', true, kReplace), "\n") : lines;
}

bool fits(const HostEnd& nic, const NicWanted& wanted) {
  const bool any_name = wanted.name.empty() || nic.name == wanted.name;
  const auto words =
      concat(" container=", wanted.container, any_name ? " " : concat(" name=", wanted.name, " "));
  return nic.bridge == wanted.bridge && nic.alias.contains(words);
}

}  // namespace userns::frontend
