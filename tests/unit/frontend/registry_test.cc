#include "frontend/store/registry.h"

#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

TEST(Index, ComesBackAsItWasWritten) {
  const Index index{
      .stores = {"/home/a/x", "/srv/with space"},
      .holders = {{.path = "/srv/with space/web", .uids = {*IdRange::make(100000, 10)}, .gids = {}},
                  {.path = "/x/.db.new-abcdef",
                   .uids = {*IdRange::make(1, 2), *IdRange::make(5, 6)},
                   .gids = {*IdRange::make(7, 8)}}}};
  const auto text = to_text(index);
  const auto again = parse_index(text);
  EXPECT_EQ(again.stores, index.stores);
  ASSERT_EQ(again.holders.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(again.holders[i].path, index.holders[i].path);
    EXPECT_EQ(again.holders[i].uids, index.holders[i].uids);
    EXPECT_EQ(again.holders[i].gids, index.holders[i].gids);
  }
}

TEST(Index, WhatMakesNoSenseIsPassedOver) {
  const auto index = parse_index(
      "garbage\nstore relative\nstore /a\nstore /a\nheld x y /b\nheld 1:2\nheld\n\nheld "
      "4294967295:9 - /c");
  EXPECT_EQ(index.stores, std::vector<std::string>{"/a"});
  ASSERT_EQ(index.holders.size(), 2U);
  EXPECT_TRUE(index.holders[0].uids.empty());
  EXPECT_TRUE(index.holders[1].uids.empty());
}

}  // namespace
}  // namespace userns::frontend
