#include "frontend/spec/net.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <utility>

#include "policy/net_conf.h"
#include "policy/net_rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::uint64_t kLeastMtu = 68;
constexpr std::uint64_t kMostMtu = 65535;

Result<IpSubnet> parse_subnet(std::string_view text) {
  auto digits = text;
  const auto address = TRY(parse_address(take_until(digits, '/')));
  const auto prefix = parse_decimal(digits);
  if (!prefix || *prefix > (address.family == AF_INET ? 32 : 128))
    return fail(
        {}, concat(quoted(text), " needs the length of its network's prefix, as in 10.0.0.2/24"));
  return IpSubnet{address, static_cast<std::uint8_t>(*prefix)};
}

template <class Value>
Result<void> append(Result<Value> value, std::vector<Value>& list) {
  if (!value) return std::unexpected(value.error());
  list.push_back(*value);
  return {};
}

Result<void> take_bridge(NicWish& nic, std::string_view value) {
  if (!is_interface_name(value))
    return fail({}, concat(quoted(value), " is not a name of a bridge"));
  nic.bridge = value;
  return {};
}
Result<void> take_name(NicWish& nic, std::string_view value) {
  if (!is_interface_name(value))
    return fail({}, concat(quoted(value),
                           " is not an interface name: 1 to 15 letters, digits, '-', '_' and '.'"));
  nic.name = value;
  return {};
}
Result<void> take_mac(NicWish& nic, std::string_view value) {
  const auto mac = Mac::parse(value);
  if (!mac) return fail({}, mac.error().text);
  nic.mac = mac->text();
  return {};
}
Result<void> take_mtu(NicWish& nic, std::string_view value) {
  const auto mtu = parse_decimal(value).value_or(0);
  if (mtu < kLeastMtu || mtu > kMostMtu)
    return fail({}, concat("mtu=", quoted(value), " is not 68 to 65535"));
  nic.mtu = static_cast<std::uint32_t>(mtu);
  return {};
}

struct Key {
  std::string_view name;
  bool many;
  Result<void> (*take)(NicWish&, std::string_view);
};
constexpr std::array kKeys{
    Key{"bridge", false, take_bridge},
    Key{"name", false, take_name},
    Key{"address", true,
        [](NicWish& n, std::string_view v) { return append(parse_subnet(v), n.addresses); }},
    Key{"gateway", true,
        [](NicWish& n, std::string_view v) { return append(parse_address(v), n.gateways); }},
    Key{"dns", true,
        [](NicWish& n, std::string_view v) { return append(parse_address(v), n.dns); }},
    Key{"mac", false, take_mac},
    Key{"mtu", false, take_mtu},
};

Result<NicWish> parse_nic(std::string_view text) {
  NicWish nic;
  std::array<bool, kKeys.size()> seen{};
  while (!text.empty()) {
    auto value = take_until(text, ',');
    const auto name = take_until(value, '=');
    const auto* const key = std::ranges::find(kKeys, name, &Key::name);
    if (key == kKeys.end())
      return fail({}, concat(quoted(name),
                             " is not a setting of a NIC: bridge= name= address= gateway= dns= "
                             "mac= mtu= are known"));
    if (std::exchange(seen.at(static_cast<std::size_t>(key - kKeys.data())), true) && !key->many)
      return fail({}, concat(name, "= is given twice"));
    TRY(key->take(nic, value));
  }
  return nic;
}

Result<std::uint16_t> parse_port(std::string_view text) {
  const auto port = parse_decimal(text).value_or(0);
  if (port == 0 || port > 65535)
    return fail({}, concat(quoted(text), " is not a port: 1 to 65535, as in 8080:80"));
  return static_cast<std::uint16_t>(port);
}

// What stands before the ports: "[::1]", "127.0.0.1", "localhost". Takes it off `text`.
Result<std::optional<IpAddress>> take_address(std::string_view& text) {
  std::string_view address;
  if (text.starts_with('[')) {
    text.remove_prefix(1);
    address = take_until(text, ']');
    if (!text.starts_with(':'))
      return fail({}, "an IPv6 address stands in [], as in [::1]:8080:80");
    text.remove_prefix(1);
  } else if (std::ranges::count(text, ':') == 2) {
    address = take_until(text, ':');
    if (address == "localhost") address = "127.0.0.1";
  } else {
    return std::nullopt;
  }
  auto parsed = TRY(parse_address(address));
  return parsed;
}

Result<NetWish> parse_network(std::string_view name) {
  constexpr std::size_t kLongest = 32;
  if (name.empty() || name.front() == '.' || name.front() == '-' || !is_plain_word(name, kLongest))
    return fail({}, concat(quoted(name),
                           " is not a valid name of a network: 1 to 32 letters, digits, '-', '_' "
                           "and '.', the first a letter, digit or '_'"));
  return NetUser{.network = std::string(name)};
}

}  // namespace

Result<IpAddress> parse_address(std::string_view text) {
  IpAddress address{.family = text.contains(':') ? AF_INET6 : AF_INET};
  if (::inet_pton(address.family, std::string(text).c_str(), address.bytes.data()) == 1)
    return address;
  return fail({}, concat(quoted(text), " is not an IP address"));
}

Result<NetWish> parse_net(std::string_view text) {
  if (text == "none") return NetNone{};
  if (text == "host") return NetHost{};
  if (text == "user") return NetUser{};
  if (text.starts_with("user=")) return parse_network(text.substr(5));
  if (text == "auto") return NetAuto{};
  if (!text.starts_with("bridge="))
    return fail({},
                "none, host, user, user=NAME, auto or "
                "bridge=BR[,name=...,address=CIDR,gateway=IP,dns=IP,mac=...,mtu=...] is possible");
  auto nic = TRY(parse_nic(text));
  return NetBridges{{std::move(nic)}};
}

Result<PublishWish> parse_publish(std::string_view text) {
  auto container = text;
  const auto address = TRY(take_address(container));
  const auto host = parse_port(take_until(container, ':'));
  auto protocol = container;
  const auto port = parse_port(take_until(protocol, '/'));
  if (!host) return std::unexpected(host.error());
  if (!port) return std::unexpected(port.error());
  if (!protocol.empty() && protocol != "tcp" && protocol != "udp")
    return fail({}, concat(quoted(protocol), " is not a protocol: tcp or udp"));
  return PublishWish{*host, *port, protocol == "udp", address};
}

Result<void> add_net(std::optional<NetWish>& all, NetWish one) {
  auto* const before = all ? std::get_if<NetBridges>(&*all) : nullptr;
  auto* const more = std::get_if<NetBridges>(&one);
  if (all && (before == nullptr || more == nullptr))
    return fail({},
                "only bridge=... can be given more than once, and only with others of its kind");
  if (!all)
    all = std::move(one);
  else
    before->nics.push_back(std::move(more->nics.front()));
  return {};
}

Result<void> name_nics(NetBridges& bridges) {
  const auto uses = [&](std::string_view name) {
    return std::ranges::count(bridges.nics, name, &NicWish::name);
  };
  unsigned number = 0;
  for (auto& nic : bridges.nics)
    while (nic.name.empty())
      if (const auto name = concat("eth", number++); uses(name) == 0) nic.name = name;
  for (const auto& nic : bridges.nics)
    if (uses(nic.name) > 1) return fail({}, concat("--net: two NICs have the name ", nic.name));
  return {};
}

std::string to_text(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  return ::inet_ntop(address.family, address.bytes.data(), text, sizeof text) == nullptr
             ? std::string{}
             : text;
}

std::string to_text(const PublishWish& publish) {
  std::string place;
  if (publish.address) {
    const auto address = to_text(*publish.address);
    place = publish.address->family == AF_INET6 ? concat("[", address, "]:") : address + ":";
  }
  return concat(publish.udp ? "udp " : "tcp ", place, publish.host, " -> ", publish.container);
}

}  // namespace userns::frontend
