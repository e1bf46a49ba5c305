#include "policy/id_range.h"

#include <gtest/gtest.h>

#include <array>
#include <type_traits>

namespace userns {
namespace {

static_assert(!IdRange::make(0, 0));
static_assert(IdRange::make(0, 0xffffffff) && !IdRange::make(1, 0xffffffff));
static_assert(IdRange::make(kLargestId, 1) && !IdRange::make(kLargestId + 1, 1));
static_assert(!IdRange::make(1, ~0ULL) && !IdRange::make(~0ULL, 1));

constexpr std::array<std::uint64_t, 12> kBoundaries{
    0,          1,          2,           (1ULL << 31U) - 1, 1ULL << 31U, 0xfffffffd,
    0xfffffffe, 0xffffffff, 1ULL << 32U, 1ULL << 63U,       ~0ULL - 1,   ~0ULL};

TEST(IdRange, ExistsExactlyWithinTheIdSpace) {
  for (const auto first : kBoundaries)
    for (const auto count : kBoundaries) {
      const bool good = count > 0 && first <= kLargestId && count <= kLargestId + 1 &&
                        first + count <= kLargestId + 1;
      const auto range = IdRange::make(first, count);
      ASSERT_EQ(range.has_value(), good) << first << "+" << count;
      if (!range) continue;
      EXPECT_EQ(range->first(), first);
      EXPECT_EQ(range->count(), count);
      EXPECT_EQ(range->end(), first + count);
    }
}

TEST(IdRange, ContainsAndOverlapsAsSetsDo) {
  constexpr std::uint64_t kUniverse = 7;
  for (const std::uint64_t base :
       std::array<std::uint64_t, 3>{0, (1ULL << 31U) - 3, kLargestId - kUniverse + 1})
    for (std::uint64_t a = 0; a < kUniverse; ++a)
      for (std::uint64_t b = a + 1; b <= kUniverse; ++b)
        for (std::uint64_t c = 0; c < kUniverse; ++c)
          for (std::uint64_t d = c + 1; d <= kUniverse; ++d) {
            const auto left = *IdRange::make(base + a, b - a);
            const auto right = *IdRange::make(base + c, d - c);
            bool all = true;
            bool any = false;
            for (auto i = c; i < d; ++i) {
              all = all && i >= a && i < b;
              any = any || (i >= a && i < b);
            }
            EXPECT_EQ(left.contains(right), all);
            EXPECT_EQ(left.overlaps(right), any);
            EXPECT_EQ(right.overlaps(left), any);
          }
}

TEST(Extent, NeedsBothSidesWithinTheIdSpace) {
  EXPECT_TRUE(Extent::make(0, kLargestId, 1));
  EXPECT_TRUE(Extent::make(kLargestId, 0, 1));
  EXPECT_FALSE(Extent::make(0, kLargestId, 2));
  EXPECT_FALSE(Extent::make(kLargestId, 0, 2));
  EXPECT_FALSE(Extent::make(0, 0, 0));
  EXPECT_TRUE(Extent::make(0, 0, kLargestId + 1));
  EXPECT_FALSE(Extent::make(0, 1, kLargestId + 1));
}

TEST(Ids, OfTwoKindsDoNotMix) {
  static_assert(!std::is_convertible_v<Uid, Gid> && !std::is_convertible_v<std::uint32_t, Uid>);
  EXPECT_EQ(Uid{7}, Uid{7});
  EXPECT_LT(Gid{7}, Gid{8});
}

}  // namespace
}  // namespace userns
