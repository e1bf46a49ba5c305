// Ranges of ids that cannot be invalid. Source: user_namespaces(7), subuid(5).
#pragma once

#include <cstdint>
#include <optional>

#include "policy/ids.h"

namespace userns {

// [first, first + count): never empty, never beyond kLargestId.
class IdRange {
 public:
  // Nothing where count is 0 or the range would leave the id space.
  [[nodiscard]] static constexpr std::optional<IdRange> make(std::uint64_t first,
                                                             std::uint64_t count) {
    if (count == 0 || first > kLargestId || count > kLargestId - first + 1) return std::nullopt;
    return IdRange(first, count);
  }
  [[nodiscard]] constexpr std::uint64_t first() const { return first_; }
  [[nodiscard]] constexpr std::uint64_t count() const { return count_; }
  [[nodiscard]] constexpr std::uint64_t end() const { return first_ + count_; }
  [[nodiscard]] constexpr bool contains(IdRange other) const {
    return first_ <= other.first_ && other.end() <= end();
  }
  [[nodiscard]] constexpr bool overlaps(IdRange other) const {
    return first_ < other.end() && other.first_ < end();
  }
  friend constexpr bool operator==(IdRange, IdRange) = default;

 private:
  constexpr IdRange(std::uint64_t first, std::uint64_t count) : first_(first), count_(count) {}
  std::uint64_t first_;
  std::uint64_t count_;
};

// One line of a uid_map or gid_map: `count` ids from inside.first() on are outside.first() on.
class Extent {
 public:
  [[nodiscard]] static constexpr std::optional<Extent> make(std::uint64_t inside,
                                                            std::uint64_t outside,
                                                            std::uint64_t count) {
    const auto in = IdRange::make(inside, count);
    const auto out = IdRange::make(outside, count);
    if (!in || !out) return std::nullopt;
    return Extent(*in, *out);
  }
  [[nodiscard]] constexpr IdRange inside() const { return inside_; }
  [[nodiscard]] constexpr IdRange outside() const { return outside_; }
  [[nodiscard]] constexpr std::uint64_t count() const { return inside_.count(); }
  friend constexpr bool operator==(Extent, Extent) = default;

 private:
  constexpr Extent(IdRange inside, IdRange outside) : inside_(inside), outside_(outside) {}
  IdRange inside_;
  IdRange outside_;
};

}  // namespace userns
