// User and group ids as types.
//
// Ids are the kernel's 32-bit kuid/kgid values as seen from the caller's user namespace.
// 2^32-1 is (uid_t)-1, "no id", so the largest id is 2^32-2. Source: user_namespaces(7).
#pragma once

#include <compare>
#include <cstdint>

namespace userns {

inline constexpr std::uint64_t kLargestId = 0xfffffffe;

template <class Tag>
class Id {
 public:
  constexpr explicit Id(std::uint32_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }
  friend constexpr auto operator<=>(Id, Id) = default;

 private:
  std::uint32_t value_;
};
using Uid = Id<struct UidTag>;
using Gid = Id<struct GidTag>;

enum class IdKind : std::uint8_t { kUid, kGid };

}  // namespace userns
