#include "frontend/start/ids/choose_ids.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

namespace userns::frontend {
namespace {

std::vector<IdRange> ranges(std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> list) {
  std::vector<IdRange> all;
  for (const auto& [first, count] : list) all.push_back(*IdRange::make(first, count));
  return all;
}

struct Caller {
  std::vector<IdRange> uids;
  std::vector<IdRange> gids;
  bool privileged = false;

  [[nodiscard]] Result<ChosenIds> choose(const Spec& spec) const {
    return choose_ids(spec, {.uid = 1000,
                             .gid = 1001,
                             .privileged = privileged,
                             .caller_name = "alice",
                             .uids = {.ranges = uids, .name = "/etc/subuid"},
                             .gids = {.ranges = gids, .name = "/etc/subgid"}});
  }
};

Spec with(std::vector<MapWish> wishes) { return {.mapping = std::move(wishes)}; }
MapWish wish(MapWish::Which which, std::uint64_t inside, std::uint64_t outside,
             std::uint64_t count) {
  return {which, *Extent::make(inside, outside, count)};
}

TEST(AutoIds, TakeOneBlockFromTheFirstRange) {
  const auto ids = Caller{ranges({{100000, 1000000}}), ranges({{200000, 65536}})}.choose({});
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.extents, std::vector{*Extent::make(0, 100000, 65536)});
  EXPECT_EQ(ids->gids.extents, std::vector{*Extent::make(0, 200000, 65536)});
  EXPECT_EQ(ids->uids.writer, MapWriter::kHelper);
  EXPECT_FALSE(ids->deny_setgroups);
}

TEST(AutoIds, BeginWithTheFirstWholeBlockElseTheLargestPiece) {
  const auto ids = Caller{ranges({{4444, 1}, {100000, 10}, {200000, 100000}}),
                          ranges({{5, 1}, {700, 100}, {900, 20}})}
                       .choose({});
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.extents, std::vector{*Extent::make(0, 200000, 65536)});
  EXPECT_EQ(ids->gids.extents, (std::vector{*Extent::make(0, 700, 100), *Extent::make(100, 5, 1),
                                            *Extent::make(101, 900, 20)}));
}

TEST(AutoIds, GoByTheOrderOfTheLines) {
  const auto owned = ranges({{100000, 65536}, {300000, 65536}});
  const auto lines = ranges({{300000, 65536}, {100000, 65536}});
  const auto choose = [&](std::span<const IdRange> in_order) {
    return choose_ids({}, {.uid = 1000,
                           .gid = 1001,
                           .caller_name = "alice",
                           .uids = {.ranges = owned, .lines = in_order, .name = "/etc/subuid"},
                           .gids = {.ranges = owned, .lines = in_order, .name = "/etc/subgid"}});
  };
  EXPECT_EQ(choose(lines)->uids.extents, std::vector{*Extent::make(0, 300000, 65536)});
  EXPECT_EQ(choose(owned)->gids.extents, std::vector{*Extent::make(0, 100000, 65536)});
  // A lower neighbour that comes later unites with the first line, and moves nothing.
  const auto united = ranges({{200000, 165536}});
  const auto grown = ranges({{300000, 65536}, {200000, 100000}});
  const auto ids = choose_ids({}, {.uid = 1000,
                                   .gid = 1001,
                                   .uids = {.ranges = united, .lines = grown, .name = "x"},
                                   .gids = {.ranges = united, .lines = grown, .name = "x"}});
  EXPECT_EQ(ids->uids.extents, std::vector{*Extent::make(0, 300000, 65536)});
}

Spec keeping(std::optional<std::uint32_t> inside) {
  return {.mapping = MapAuto{.keep_id = true, .inside = inside}};
}

TEST(AutoIds, KeepTheCallersOwnIds) {
  const Caller caller{ranges({{100000, 65536}}), ranges({{100000, 65536}})};
  const auto ids = caller.choose(keeping({}));
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.extents,
            (std::vector{*Extent::make(0, 100000, 1000), *Extent::make(1000, 1000, 1),
                         *Extent::make(1001, 101001, 64535)}));
  EXPECT_EQ(ids->gids.extents[1], *Extent::make(1001, 1001, 1));
  EXPECT_EQ(caller.choose(keeping(0))->uids.extents,
            (std::vector{*Extent::make(0, 1000, 1), *Extent::make(1, 100001, 65535)}));
  EXPECT_EQ(caller.choose(keeping(70000))->uids.extents,
            (std::vector{*Extent::make(0, 100000, 65536), *Extent::make(70000, 1000, 1)}));
}

TEST(Maps, HaveEachIdOnce) {
  ChosenMap map;
  map.extents = {*Extent::make(0, 1000, 10)};
  map.set_one(2, 1005);
  EXPECT_EQ(map.extents, (std::vector{*Extent::make(0, 1000, 2), *Extent::make(2, 1005, 1),
                                      *Extent::make(3, 1003, 2), *Extent::make(6, 1006, 4)}));
}

TEST(AutoIds, LeaveOutsideRootAlone) {
  const auto ids = Caller{ranges({{0, 5}}), ranges({{0, 1}, {7, 1}})}.choose({});
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.extents, std::vector{*Extent::make(0, 1, 4)});
  EXPECT_EQ(ids->gids.extents, std::vector{*Extent::make(0, 7, 1)});
}

TEST(AutoIds, OfAContainersRootAreWhatTheContainerHas) {
  const auto ids = Caller{ranges({{0, 65536}}), ranges({{0, 65536}}), true}.choose({});
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.extents, std::vector{*Extent::make(0, 0, 65536)});
  EXPECT_EQ(ids->uids.writer, MapWriter::kSelf);
  EXPECT_FALSE(ids->deny_setgroups);
}

TEST(AutoIds, AreNeverMadeUp) {
  const auto ids = Caller{}.choose({});
  ASSERT_FALSE(ids);
  EXPECT_NE(ids.error().text.find("alice has no subordinate ids in /etc/subuid"),
            std::string::npos);
  EXPECT_NE(ids.error().text.find("--map-self"), std::string::npos);
  const auto no_gids = Caller{ranges({{100000, 1}}), {}}.choose({});
  ASSERT_FALSE(no_gids);
  EXPECT_NE(no_gids.error().text.find("/etc/subgid"), std::string::npos);
}

TEST(AutoIds, StayBelowWhatTheKernelTakes) {
  std::vector<IdRange> many;
  for (std::uint64_t i = 0; i < 1000; ++i) many.push_back(*IdRange::make(4000000000 + i * 10, 2));
  const auto ids = Caller{many, many}.choose({});
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.extents.size(), 124U);
  EXPECT_TRUE(ids->uids.has(247) && !ids->uids.has(248));
}

TEST(OwnId, NeedsNoHelperAndDeniesSetgroups) {
  Spec spec{.mapping = MapSelf{}};
  const auto ids = Caller{}.choose(spec);
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.extents, std::vector{*Extent::make(0, 1000, 1)});
  EXPECT_EQ(ids->gids.extents, std::vector{*Extent::make(0, 1001, 1)});
  EXPECT_EQ(ids->uids.writer, MapWriter::kSelf);
  EXPECT_TRUE(ids->deny_setgroups);
}

TEST(OwnId, CanHaveAnotherNumberInside) {
  Spec spec{.mapping = MapSelf{}};
  spec.uid = 7;
  spec.gid = 8;
  const auto ids = Caller{}.choose(spec);
  ASSERT_TRUE(ids);
  EXPECT_TRUE(ids->uids.has(7) && !ids->uids.has(0) && ids->gids.has(8));
}

TEST(MapsByHand, AreTakenAsTheyAre) {
  const auto ids = Caller{}.choose(
      with({wish(MapWish::Which::kBoth, 0, 100000, 1), wish(MapWish::Which::kUid, 1000, 1000, 1),
            wish(MapWish::Which::kGid, 5, 50, 5)}));
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.extents,
            (std::vector{*Extent::make(0, 100000, 1), *Extent::make(1000, 1000, 1)}));
  EXPECT_EQ(ids->gids.extents, (std::vector{*Extent::make(0, 100000, 1), *Extent::make(5, 50, 5)}));
  EXPECT_EQ(ids->uids.writer, MapWriter::kHelper);
}

TEST(MapsByHand, OfOnesOwnIdAloneNeedNoHelperPerKind) {
  const auto ids = Caller{}.choose(
      with({wish(MapWish::Which::kUid, 0, 100000, 9), wish(MapWish::Which::kGid, 0, 1001, 1)}));
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.writer, MapWriter::kHelper);
  EXPECT_EQ(ids->gids.writer, MapWriter::kSelf);
  EXPECT_TRUE(ids->deny_setgroups);
}

TEST(MapsByHand, MayLeaveAKindOut) {
  const auto ids = Caller{}.choose(with({wish(MapWish::Which::kUid, 0, 100000, 9)}));
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->gids.writer, MapWriter::kNobody);
  EXPECT_FALSE(ids->deny_setgroups);
}

TEST(MapsByHand, MayNotOverlap) {
  const auto ids = Caller{}.choose(
      with({wish(MapWish::Which::kBoth, 0, 100000, 9), wish(MapWish::Which::kBoth, 8, 200000, 9)}));
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().rule, "IM-OVERLAP");
}

// The caller is root of a user namespace whose map has two pieces.
IdFacts within(std::span<const IdRange> pieces) {
  return {.uid = 0,
          .gid = 0,
          .privileged = true,
          .caller_name = "root",
          .uids = {},
          .gids = {},
          .setgroups_denied = false,
          .uid_pieces = pieces,
          .gid_pieces = pieces};
}

TEST(MapsByHand, AreSplitWhereTheOuterMapIs) {
  const auto pieces = ranges({{0, 1000}, {1000, 1000}, {5000, 10}});
  const auto ids = choose_ids(with({wish(MapWish::Which::kBoth, 0, 500, 1000)}), within(pieces));
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.extents,
            (std::vector{*Extent::make(0, 500, 500), *Extent::make(500, 1000, 500)}));
  EXPECT_EQ(ids->gids.extents, ids->uids.extents);
}

TEST(MapsByHand, KeepWhatTheOuterMapHasNotForTheKernelToRefuse) {
  const auto pieces = ranges({{0, 1000}, {5000, 10}});
  const auto ids = choose_ids(with({wish(MapWish::Which::kBoth, 0, 0, 6000)}), within(pieces));
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids.extents,
            (std::vector{*Extent::make(0, 0, 1000), *Extent::make(1000, 1000, 4000),
                         *Extent::make(5000, 5000, 10), *Extent::make(5010, 5010, 990)}));
}

TEST(Setgroups, IsDeniedWhereTheOuterNamespaceDeniesIt) {
  auto facts = within({});
  const auto spec = with({wish(MapWish::Which::kBoth, 0, 0, 1)});
  EXPECT_FALSE(choose_ids(spec, facts)->deny_setgroups);
  facts.setgroups_denied = true;
  EXPECT_TRUE(choose_ids(spec, facts)->deny_setgroups);
}

TEST(IdsOfTheCommand, MustBeMapped) {
  const Caller caller{ranges({{100000, 10}}), ranges({{100000, 10}})};
  Spec spec;
  spec.uid = 10;
  EXPECT_FALSE(caller.choose(spec));
  spec.uid = 9;
  EXPECT_TRUE(caller.choose(spec));
  spec.gid = 10;
  EXPECT_FALSE(caller.choose(spec));
  spec.gid = 0;
  spec.groups = {3, 11};
  EXPECT_FALSE(caller.choose(spec));
  spec.groups = {3, 9};
  EXPECT_TRUE(caller.choose(spec));
}

TEST(IdsOfTheCommand, HaveNoGroupsWhereTheKernelForbidsThem) {
  Spec spec{.mapping = MapSelf{}};
  spec.groups = {0};
  const auto ids = Caller{}.choose(spec);
  ASSERT_FALSE(ids);
  EXPECT_NE(ids.error().text.find("setgroups(2)"), std::string::npos);
}

}  // namespace
}  // namespace userns::frontend
