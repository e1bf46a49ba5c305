#include "policy/ip_net.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include "policy/text.h"

namespace userns {
namespace {

constexpr std::array<std::uint8_t, 12> kV4 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr unsigned kV4Bits = 96, kBits = 128;

}  // namespace

std::optional<IpNet> IpNet::parse(std::string_view text) {
  const bool has_length = text.contains('/');
  const std::string address(take_until(text, '/'));
  const bool is_v6 = address.contains(':');
  std::array<char, 16> bytes{};
  if (address.contains('\0') ||
      ::inet_pton(is_v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) != 1)
    return {};
  const std::size_t size = is_v6 ? 16 : 4;
  const auto length = has_length ? parse_decimal(text) : std::optional<std::uint64_t>(size * 8);
  const auto net = length ? of_bytes({bytes.data(), size}, *length) : std::nullopt;
  // An IPv4 address in the clothes of an IPv6 one would be another family's.
  return net && net->is_v4() != is_v6 ? net : std::nullopt;
}

std::optional<IpNet> IpNet::of_bytes(std::string_view raw, std::uint64_t length) {
  if ((raw.size() != 4 && raw.size() != 16) || length > raw.size() * 8) return {};
  IpNet net;
  const auto before = net.bytes.size() - raw.size();
  std::ranges::copy_n(kV4.begin(), static_cast<std::ptrdiff_t>(before), net.bytes.begin());
  raw.copy(reinterpret_cast<char*>(net.bytes.data()) + before, raw.size());
  net.prefix = static_cast<std::uint8_t>(before * 8 + length);
  return net;
}

bool IpNet::is_v4() const { return std::ranges::equal(kV4, std::span(bytes).first(kV4.size())); }

std::uint32_t IpNet::size() const {
  return prefix <= kBits - 16 ? kMostAddresses : 1U << (kBits - prefix);
}

IpNet IpNet::at(std::uint32_t offset) const {
  IpNet one{bytes, kBits};
  one.bytes[14] |= static_cast<std::uint8_t>(offset >> 8U);
  one.bytes[15] |= static_cast<std::uint8_t>(offset);
  return one;
}

bool IpNet::bit(unsigned number) const {
  return (bytes.at(number / 8) >> (7 - number % 8) & 1U) != 0;
}

bool IpNet::holds(const IpNet& other) const {
  for (unsigned i = 0; i < prefix; ++i)
    if (bit(i) != other.bit(i)) return false;
  return is_v4() == other.is_v4();
}

bool IpNet::ends_in(bool wanted) const {
  for (unsigned i = prefix; i < kBits; ++i)
    if (bit(i) != wanted) return false;
  return true;
}

bool IpNet::is_reserved() const {
  return prefix < kBits - 1 && (ends_in(false) || (is_v4() && ends_in(true)));
}

std::string IpNet::address() const {
  char text[INET6_ADDRSTRLEN] = {};
  const bool v4 = is_v4();
  (void)::inet_ntop(v4 ? AF_INET : AF_INET6, bytes.data() + (v4 ? kV4.size() : 0), text,
                    sizeof text);
  return text;
}

std::string IpNet::text() const { return concat(address(), "/", prefix - (is_v4() ? kV4Bits : 0)); }

}  // namespace userns
