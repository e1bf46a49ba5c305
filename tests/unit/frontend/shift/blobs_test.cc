#include "frontend/shift/blobs.h"

#include <gtest/gtest.h>

#include "tests/unit/expect.h"

namespace userns::shift {
namespace {

using test::text_of;

std::string little(std::uint32_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return text;
}

std::string entry(std::uint32_t tag, std::uint32_t permissions, std::uint32_t id) {
  return little(tag, 2) + little(permissions, 2) + little(id, 4);
}

std::string acl(const std::string& entries) { return little(2, 4) + entries; }

Shift shift() {
  return {.uids = *IdShift::make({*Extent::make(0, 100000, 10)}, "uid"),
          .gids = *IdShift::make({*Extent::make(0, 200000, 10)}, "gid")};
}

TEST(Acl, UsersAndGroupsMoveTheRestStays) {
  Tally tally;
  const auto before =
      acl(entry(1, 7, ~0U) + entry(2, 6, 5) + entry(2, 4, 50) + entry(2, 4, 100003) +
          entry(4, 5, ~0U) + entry(8, 1, 5) + entry(16, 7, ~0U) + entry(32, 0, ~0U));
  const auto after =
      acl(entry(1, 7, ~0U) + entry(2, 6, 100005) + entry(2, 4, 50) + entry(2, 4, 100003) +
          entry(4, 5, ~0U) + entry(8, 1, 200005) + entry(16, 7, ~0U) + entry(32, 0, ~0U));
  EXPECT_EQ(shift_acl(before, shift(), tally).value(), after);
  EXPECT_EQ(tally.taken, 2U);
  EXPECT_EQ(tally.foreign, 1U);
  EXPECT_EQ(tally.given, 1U);
  EXPECT_EQ(tally.unmapped, 0U);
}

TEST(Acl, AnIdWithoutANumberHereIsCounted) {
  Tally tally;
  EXPECT_TRUE(shift_acl(acl(entry(2, 6, ~0U)), shift(), tally));
  EXPECT_EQ(tally.unmapped, 1U);
}

TEST(Acl, OthersAreRefused) {
  Tally tally;
  EXPECT_NE(text_of(shift_acl("", shift(), tally)), "");
  EXPECT_NE(text_of(shift_acl(little(1, 4), shift(), tally)), "");
  EXPECT_NE(text_of(shift_acl(acl("123"), shift(), tally)), "");
  EXPECT_EQ(text_of(shift_acl(acl(""), shift(), tally)), "");
}

std::string two(std::uint32_t flags = 1) {
  return little(0x02000000 | flags, 4) + std::string(16, 'c');
}
std::string three(std::uint32_t root, std::uint32_t flags = 1) {
  return little(0x03000000 | flags, 4) + std::string(16, 'c') + little(root, 4);
}

TEST(Capability, TheRootMovesAndTheVersionWithIt) {
  Tally tally;
  const auto uids = shift().uids;
  EXPECT_EQ(shift_capability(two(), uids, tally).value(), three(100000));
  EXPECT_EQ(shift_capability(two(0), uids, tally).value(), three(100000, 0));
  EXPECT_EQ(shift_capability(three(5), uids, tally).value(), three(100005));
  EXPECT_EQ(shift_capability(three(100000), uids.reversed(), tally).value(), two());
  EXPECT_EQ(shift_capability(three(77), uids, tally).value(), three(77));
  EXPECT_EQ(tally.taken, 4U);
  EXPECT_EQ(tally.foreign, 1U);
}

TEST(Capability, OthersAreRefused) {
  Tally tally;
  for (const auto& blob :
       {std::string(), std::string("x"), little(0x01000000, 4) + std::string(8, 'c'), two() + "x",
        three(5).substr(0, 23), little(0x04000000, 4) + std::string(20, 'c')})
    EXPECT_NE(text_of(shift_capability(blob, shift().uids, tally)), "");
}

}  // namespace
}  // namespace userns::shift
