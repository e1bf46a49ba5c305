#include "frontend/nics/health.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>

#include "common/netlink.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// The other end of a NIC, as it is now.
struct Inside {
  std::string name, mac;
  std::vector<std::string> addresses;  // but link-local ones
};

std::string mac_text(std::string_view bytes) {
  Mac mac;
  if (bytes.size() != mac.bytes.size()) return {};
  std::ranges::transform(bytes, mac.bytes.begin(),
                         [](char c) { return static_cast<std::uint8_t>(c); });
  return mac.text();
}

bool is_link_local(const IpNet& net) {
  const auto text = net.address();
  return text.starts_with("fe80:") || text.starts_with("169.254.");
}

std::optional<Inside> look_inside(Netlink& netlink, const HostEnd& nic) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(nic.peer);
  NetlinkRequest link_request(RTM_GETLINK, 0, header);
  link_request.put_number(IFLA_TARGET_NETNSID, nic.netnsid);
  Inside inside;
  const auto seen = netlink.exchange(link_request, [&](const nlmsghdr& answer) {
    const Link link(answer);
    inside.name = link.name, inside.mac = mac_text(link.address);
  });
  if (!seen || inside.name.empty()) return std::nullopt;
  for (const int family : {AF_INET, AF_INET6}) {
    ifaddrmsg all{};
    all.ifa_family = static_cast<unsigned char>(family);
    NetlinkRequest addresses(RTM_GETADDR, NLM_F_DUMP, all);
    addresses.put_number(IFA_TARGET_NETNSID, nic.netnsid);
    const auto listed = netlink.exchange(addresses, [&](const nlmsghdr& answer) {
      const auto found = address_of(answer);
      if (found && found->index == nic.peer && !is_link_local(found->net))
        inside.addresses.push_back(found->net.address());
    });
    if (!listed && listed.error().code != EAFNOSUPPORT && listed.error().code != EOPNOTSUPP)
      return std::nullopt;
  }
  return inside;
}

// Whether the port may send from this MAC address: macs= gives more than the NIC's own.
bool is_ports(Netlink& netlink, const HostEnd& nic, std::string_view mac) {
  const auto parsed = Mac::parse(mac);
  ndmsg header{};
  header.ndm_family = AF_BRIDGE;
  if (!parsed) return false;
  NetlinkRequest request(RTM_GETNEIGH, 0, header);
  request
      .put(NDA_LLADDR, {reinterpret_cast<const char*>(parsed->bytes.data()), parsed->bytes.size()})
      .put_number(NDA_MASTER, nic.master);
  bool is_here = false;
  const auto asked = netlink.exchange(request, [&](const nlmsghdr& answer) {
    ndmsg found{};
    if (mnl_nlmsg_get_payload_len(&answer) < sizeof found) return;
    std::memcpy(&found, mnl_nlmsg_get_payload(&answer), sizeof found);
    is_here = found.ndm_ifindex == nic.index;
  });
  return asked && is_here;
}

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::ranges::find(all, one) != all.end();
}

void say_of_addresses(const HostEnd& nic, const Inside& inside, std::vector<std::string>& said) {
  if (nic.addresses.empty()) return;
  for (const auto& given : nic.addresses)
    if (!contains(inside.addresses, given))
      said.push_back(concat(inside.name, " has lost its address ", given, ": run \"ip address add ",
                            given, "/LENGTH dev ", inside.name,
                            "\" inside, or restart the container"));
  for (const auto& other : inside.addresses)
    if (!contains(nic.addresses, other))
      said.push_back(concat(inside.name, " has the address ", other,
                            " inside, which net.conf did not give it: the guard drops what it "
                            "sends; run \"ip address del ",
                            other, "/LENGTH dev ", inside.name, "\" inside"));
}

std::string port_trouble(const HostEnd& nic) {
  const auto bridge = nic.word("bridge"), name = nic.word("name");
  if (nic.bridge.empty())
    return concat(name, " is on no bridge: ", bridge,
                  " was removed or made anew; ask the administrator to run \"userns-policy "
                  "reattach\", or restart the container");
  if (!nic.is_up)
    return concat("the host end ", nic.name, " of ", name,
                  " is down: ask the administrator to run \"ip link set ", nic.name, " up\"");
  if (nic.has_carrier && nic.is_disabled)
    return concat("the bridge ", bridge, " has disabled the port of ", name,
                  ": the container sent a BPDU, as a bridge with STP does. End what sends them "
                  "inside, and restart the container, or ask the administrator to run \"ip link "
                  "set ",
                  nic.name, " down && ip link set ", nic.name, " up\"");
  return {};
}

// What the kernel calls the network namespace of a process; -1: none of the NICs is in it.
std::int32_t netnsid_of(Netlink& netlink, pid_t pid) {
  std::int32_t id = -1;
  NetlinkRequest request(RTM_GETNSID, 0, rtgenmsg{});
  request.put_number(NETNSA_PID, static_cast<std::uint32_t>(pid));
  const auto asked = netlink.exchange(request, [&](const nlmsghdr& answer) {
    const auto length = mnl_nlmsg_get_payload_len(&answer);
    constexpr std::size_t head = (sizeof(rtgenmsg) + 3) & ~std::size_t{3};
    if (length < head) return;
    const Attrs attrs(mnl_nlmsg_get_payload_offset(&answer, sizeof(rtgenmsg)), length - head);
    if (!attrs.bytes(NETNSA_NSID).empty()) id = attrs.number<std::int32_t>(NETNSA_NSID);
  });
  return asked ? id : -1;
}

}  // namespace

std::vector<std::string> troubles(const HostEnd& nic) {
  std::vector<std::string> said;
  if (nic.netnsid < 0) return said;  // it is just ending
  if (auto port = port_trouble(nic); !port.empty()) said.push_back(std::move(port));
  auto netlink = Netlink::open();
  // Without this the kernel leaves out which namespace a list is asked of, and tells of ours.
  const int strict = 1;
  if (!netlink || ::setsockopt(netlink->socket().get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK,
                               &strict, sizeof strict) != 0)
    return said;
  const auto inside = look_inside(*netlink, nic);
  if (!inside) return said;
  if (const auto mac = nic.word("mac");
      nic.is_locked && inside->mac != mac && !is_ports(*netlink, nic, inside->mac))
    said.push_back(concat(inside->name, " has the MAC address ", inside->mac,
                          " inside, and its port is locked to ", mac, ": run \"ip link set dev ",
                          inside->name, " address ", mac, "\" inside"));
  say_of_addresses(nic, *inside, said);
  return said;
}

Result<std::vector<HostEnd>> nics_of(pid_t pid) {
  auto netlink = TRY(Netlink::open());
  const auto id = netnsid_of(netlink, pid);
  auto nics = all_nics();
  if (nics) std::erase_if(*nics, [&](const HostEnd& nic) { return id < 0 || nic.netnsid != id; });
  return nics;
}

}  // namespace userns::frontend
