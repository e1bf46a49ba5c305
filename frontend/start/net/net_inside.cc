#include "frontend/start/net/net_inside.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "common/fd.h"
#include "frontend/spec/net.h"
#include "frontend/start/net/netlink_request.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string_view bytes_of(const IpAddress& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()),
          address.family == AF_INET ? std::size_t{4} : std::size_t{16}};
}

// The last address of an IPv4 network, where it has room for one. An address without it is another
// address to systemd-networkd: told to set the same one, version 252 does so again and again.
std::optional<IpAddress> broadcast_of(const IpSubnet& subnet) {
  constexpr unsigned kBits = 32, kLongest = 30;
  if (subnet.address.family != AF_INET || subnet.prefix > kLongest) return std::nullopt;
  auto last = subnet.address;
  for (unsigned bit = subnet.prefix; bit < kBits; ++bit)
    last.bytes.at(bit / 8) |= static_cast<std::uint8_t>(0x80U >> bit % 8);
  return last;
}

int add_address(const Fd& socket, unsigned index, const IpSubnet& subnet) {
  ifaddrmsg header{};
  header.ifa_family = static_cast<std::uint8_t>(subnet.address.family);
  header.ifa_prefixlen = subnet.prefix;
  header.ifa_index = index;
  // The address was given by hand: a second of waiting for somebody to object is not what was asked
  // for.
  header.ifa_flags = subnet.address.family == AF_INET6 ? IFA_F_NODAD : 0;
  NetlinkRequest request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, header);
  request.put(IFA_LOCAL, bytes_of(subnet.address)).put(IFA_ADDRESS, bytes_of(subnet.address));
  if (const auto last = broadcast_of(subnet)) request.put(IFA_BROADCAST, bytes_of(*last));
  return request.send(socket);
}

int set_up(const Fd& socket, unsigned index, std::uint32_t mtu) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  header.ifi_flags = header.ifi_change = IFF_UP;
  NetlinkRequest request(RTM_NEWLINK, 0, header);
  if (mtu != 0) request.put_number(IFLA_MTU, mtu);
  return request.send(socket);
}

int add_default_route(const Fd& socket, unsigned index, const IpAddress& gateway) {
  rtmsg header{};
  header.rtm_family = static_cast<std::uint8_t>(gateway.family);
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_type = RTN_UNICAST;
  NetlinkRequest request(RTM_NEWROUTE, NLM_F_CREATE, header);
  return request.put(RTA_GATEWAY, bytes_of(gateway)).put_number(RTA_OIF, index).send(socket);
}

Result<void> configure(const Fd& socket, const NicWish& nic) {
  const unsigned index = ::if_nametoindex(nic.name.c_str());
  if (index == 0) return fail_errno(concat("cannot find the NIC ", nic.name));
  if (const int error = set_up(socket, index, nic.mtu); error != 0)
    return fail(
        {}, concat("cannot bring up ", nic.name, nic.mtu != 0 ? concat(" with mtu=", nic.mtu) : ""),
        error);
  for (const auto& subnet : nic.addresses)
    if (const int error = add_address(socket, index, subnet); error != 0)
      return fail({}, concat("cannot give ", nic.name, " the address ", to_text(subnet.address)),
                  error);
  for (const auto& gateway : nic.gateways)
    if (const int error = add_default_route(socket, index, gateway); error != 0)
      return fail({},
                  concat("cannot route through gateway ", to_text(gateway), " on ", nic.name,
                         ": is it within the network of an address=?"),
                  error);
  return {};
}

}  // namespace

Result<void> configure_nics(const NetWish& net) {
  const auto* const bridges = std::get_if<NetBridges>(&net);
  if (bridges == nullptr) return {};
  const Fd socket = open_rtnetlink();
  if (!socket.valid()) return fail_errno("cannot open a netlink socket");
  for (const auto& nic : bridges->nics)
    if (auto done = configure(socket, nic); !done) return done;
  return {};
}

Result<NetWish> with_given(NetWish net, std::string_view given) {
  if (std::holds_alternative<NetUser>(net) && !given.empty())
    return parse_net(take_until(given, '\n'));
  auto* const bridges = std::get_if<NetBridges>(&net);
  while (bridges != nullptr && !given.empty()) {
    auto parsed = parse_net(take_until(given, '\n'));
    if (!parsed) return fail({}, concat("userns-net's answer: ", parsed.error().text));
    auto& one = std::get<NetBridges>(*parsed).nics.front();
    const auto nic = std::ranges::find(bridges->nics, one.name, &NicWish::name);
    if (nic == bridges->nics.end() || !nic->addresses.empty()) continue;
    nic->addresses = std::move(one.addresses);
    if (nic->gateways.empty()) nic->gateways = std::move(one.gateways);
    if (nic->dns.empty()) nic->dns = std::move(one.dns);
  }
  return net;
}

Result<void> raise_loopback() {
  const Fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  // A kernel without IPv4 has no loopback to raise.
  if (any.valid() && ::ioctl(any.get(), SIOCSIFFLAGS, &request) != 0)
    return fail_errno("cannot bring up the loopback interface");
  return {};
}

}  // namespace userns::frontend
