// IP addresses and blocks of them, both families in one form: IPv4 is ::ffff:a.b.c.d. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace userns {

// More of a block is not used: every address may be an element of a packet filter's set.
inline constexpr std::uint32_t kMostAddresses = 65536;

struct IpNet {
  std::array<std::uint8_t, 16> bytes{};
  std::uint8_t prefix = 128;  // of 128 bits, in both families

  // "10.9.0.16/30", "fd00:9:1::/120", or one address without a length. Nothing where it is neither.
  static std::optional<IpNet> parse(std::string_view text);
  // 4 or 16 bytes in network order, and a length as the family counts it.
  static std::optional<IpNet> of_bytes(std::string_view bytes, std::uint64_t length);
  [[nodiscard]] bool is_v4() const;
  [[nodiscard]] std::uint32_t size() const;  // addresses, at most kMostAddresses
  // Address `offset` of a block that begins where its prefix says; offset < size().
  [[nodiscard]] IpNet at(std::uint32_t offset) const;
  // Whether the other's address is in this block.
  [[nodiscard]] bool holds(const IpNet& other) const;
  // Whether all bits behind the prefix are `bit`: the network's own address, or its broadcast one.
  [[nodiscard]] bool ends_in(bool bit) const;
  // No host of the network of this prefix may have it.
  [[nodiscard]] bool is_reserved() const;
  [[nodiscard]] std::string address() const;  // "10.9.0.16"
  [[nodiscard]] std::string text() const;     // "10.9.0.16/30"
  friend bool operator==(const IpNet&, const IpNet&) = default;

 private:
  [[nodiscard]] bool bit(unsigned number) const;
};

}  // namespace userns
