#include "frontend/lxc_user_nic/nics.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/netlink.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// Its own alias needs no escapes.
std::string own_alias(std::string_view alias) {
  const bool is_ours =
      alias.starts_with("userns ") && alias.find_first_of("\"\\\n") == std::string_view::npos;
  return is_ours ? std::string(alias) : "";
}

}  // namespace

Result<std::vector<HostEnd>> all_nics() {
  auto netlink = Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  std::vector<HostEnd> nics;
  std::map<std::uint32_t, std::string> names;
  std::vector<std::uint32_t> masters;
  NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{});
  const auto take = [&](const nlmsghdr& message) {
    const Link link(message);
    const auto attrs = link_attrs(message);
    names[static_cast<std::uint32_t>(link.index)] = link.name;
    const auto slot = link.kind == "veth" ? Slot::from_name(link.name) : std::nullopt;
    if (!slot) return;
    const bool has_peer = !attrs.bytes(IFLA_LINK_NETNSID).empty();
    nics.push_back({link.name, link.index, *slot, "",
                    has_peer ? attrs.number<std::int32_t>(IFLA_LINK_NETNSID) : -1,
                    own_alias(attrs.text(IFLA_IFALIAS))});
    masters.push_back(link.master);
  };
  if (const auto done = netlink->exchange(request, take); !done)
    return std::unexpected(done.error());
  for (std::size_t i = 0; i < nics.size(); ++i) nics[i].bridge = names[masters[i]];
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

bool fits(const HostEnd& nic, const NicWanted& wanted) {
  const bool any_name = wanted.name.empty() || nic.name == wanted.name;
  const auto words =
      concat(" container=", wanted.container, any_name ? " " : concat(" name=", wanted.name, " "));
  return nic.bridge == wanted.bridge && nic.alias.contains(words);
}

}  // namespace userns::frontend
