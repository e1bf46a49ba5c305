#include "frontend/shift/id_shift.h"

#include <gtest/gtest.h>

#include "policy/idmap.h"
#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns::shift {
namespace {

using test::contains;
using test::text_of;

Extent piece(std::uint64_t from, std::uint64_t to, std::uint64_t count) {
  return *Extent::make(from, to, count);
}

std::string shown(const std::vector<Extent>& pieces) {
  std::string text;
  for (const auto& one : pieces)
    text += concat(text.empty() ? "" : " ", one.inside().first(), ">", one.outside().first(), "x",
                   one.count());
  return text;
}

TEST(IdShift, MovesWhatItTakesAndNothingElse) {
  const auto shift = *IdShift::make({piece(0, 100000, 65536), piece(70000, 200000, 1)}, "uid");
  constexpr std::uint32_t kMoves[][2] = {
      {0, 100000},      {65535, 165535}, {65536, 65536},           {70000, 200000},
      {70001, 70001},   {99999, 99999},  {4294967295, 4294967295}, {100000, 100000},
      {165535, 165535}, {200000, 200000}};
  for (const auto& [from, to] : kMoves) EXPECT_EQ(shift.of(from), to);
  EXPECT_TRUE(shift.takes(0) && shift.takes(70000) && !shift.takes(65536) && !shift.takes(100000));
  EXPECT_TRUE(shift.gives(100000) && shift.gives(200000) && !shift.gives(0) &&
              !shift.gives(165536));
}

TEST(IdShift, TwiceIsOnceAndBackIsBack) {
  const auto shift = *IdShift::make({piece(10, 1000, 5), piece(20, 15, 5)}, "uid");
  for (std::uint32_t id = 0; id < 1100; ++id) {
    EXPECT_EQ(shift.of(shift.of(id)), shift.of(id));
    if (!shift.gives(id)) {
      EXPECT_EQ(shift.reversed().of(shift.of(id)), id);
    }
  }
  EXPECT_EQ(shift.reversed().reversed(), shift);
}

TEST(IdShift, AnIdIsNotTakenAndGiven) {
  EXPECT_TRUE(contains(text_of(IdShift::make({piece(0, 5, 10)}, "uid")), "overlap"));
  EXPECT_TRUE(contains(text_of(IdShift::make({piece(5, 0, 10)}, "uid")), "in a second step"));
  EXPECT_TRUE(
      contains(text_of(IdShift::make({piece(0, 100, 10), piece(105, 200, 1)}, "gid")), "the gids"));
  EXPECT_TRUE(
      contains(text_of(IdShift::make({piece(0, 100, 10), piece(9, 200, 1)}, "uid")), "both taken"));
  EXPECT_TRUE(contains(text_of(IdShift::make({piece(0, 100, 10), piece(20, 109, 1)}, "uid")),
                       "both given"));
  EXPECT_TRUE(IdShift::make({piece(0, 10, 10)}, "uid"));  // adjacent
  EXPECT_TRUE(IdShift::make({}, "uid"));
}

TEST(Range, GoodOnesAreRead) {
  const auto both = *parse_range("0:65536");
  EXPECT_TRUE(both.uids && both.gids && both.range == *IdRange::make(0, 65536));
  EXPECT_TRUE(parse_range("u:5:1")->uids && !parse_range("u:5:1")->gids);
  EXPECT_TRUE(!parse_range("g:5:1")->uids && parse_range("g:5:1")->gids);
  EXPECT_TRUE(parse_range("4294967294:1"));
}

TEST(Range, BadOnesAreRefusedWithAReason) {
  for (const std::string_view text :
       {"", "5", "u:5", "b:5:1", "5:1:1", "-1:5", "0x5:1", "05:1", " 5:1", "5:", ":5", "5:0",
        "4294967295:1", "18446744073709551616:1", "5:18446744073709551615", "u:g:5:1"})
    EXPECT_NE(text_of(parse_range(text)), "") << text;
}

TEST(MakeShift, PairsRangesOfTheSameKindAndCount) {
  const auto shift = *make_shift({"u:0:10", "g:5:3"}, {"u:100:10", "g:50:3"});
  EXPECT_EQ(shown(shift.uids.pieces()), "0>100x10");
  EXPECT_EQ(shown(shift.gids.pieces()), "5>50x3");
  EXPECT_TRUE(contains(text_of(make_shift({"0:1"}, {})), "needs the --to"));
  EXPECT_TRUE(contains(text_of(make_shift({"u:0:1"}, {"5:1"})), "same kind"));
  EXPECT_TRUE(contains(text_of(make_shift({"0:1"}, {"5:2"})), "not as many"));
}

TEST(Namespace, KeepsNumbersButItsOwnersWhichIsRoot) {
  const auto shift = *IdShift::make({piece(100000, 300000, 65536)}, "uid");
  EXPECT_EQ(shown(*map_for(shift, 1000, "uid")),
            "0>1000x1 100000>100000x65536 300000>300000x65536");
  EXPECT_EQ(as_seen(shift, 1000), shift);
}

TEST(Namespace, AdjacentRangesAreOneLine) {
  const auto shift = *IdShift::make({piece(165536, 100000, 65536)}, "uid");
  EXPECT_EQ(shown(*map_for(shift, 1000, "uid")), "0>1000x1 100000>100000x131072");
}

TEST(Namespace, ItsOwnersIdInARangeIsCutOut) {
  const auto from = *IdShift::make({piece(1000, 100000, 1)}, "uid");
  EXPECT_EQ(shown(*map_for(from, 1000, "uid")), "0>1000x1 100000>100000x1");
  EXPECT_EQ(shown(as_seen(from, 1000).pieces()), "0>100000x1");
  const auto amid = *IdShift::make({piece(998, 100000, 5)}, "uid");
  EXPECT_EQ(shown(*map_for(amid, 1000, "uid")), "0>1000x1 998>998x2 1001>1001x2 100000>100000x5");
  EXPECT_EQ(shown(as_seen(amid, 1000).pieces()), "998>100000x2 0>100002x1 1001>100003x2");
  EXPECT_EQ(shown(as_seen(amid.reversed(), 1000).pieces()),
            "100000>998x2 100002>0x1 100003>1001x2");
}

TEST(Namespace, TheHostsRootIsNotToBeHad) {
  EXPECT_TRUE(contains(text_of(map_for(*IdShift::make({piece(0, 100000, 5)}, "gid"), 1000, "gid")),
                       "only root"));
  EXPECT_TRUE(contains(text_of(map_for(*IdShift::make({piece(100000, 0, 5)}, "uid"), 1000, "uid")),
                       "only root"));
}

TEST(Namespace, MapsAreWhatTheKernelTakes) {
  for (const std::uint32_t own : {999U, 1000U, 1004U, 1005U, 100002U}) {
    const auto shift = *IdShift::make({piece(1000, 100000, 5), piece(2000, 1005, 5)}, "uid");
    const auto map = *map_for(shift, own, "uid");
    EXPECT_EQ(text_of(IdMap::from_extents(map)), "");
    // What is seen there is what it is outside.
    const auto outside = [&](std::uint32_t id) {
      for (const auto& extent : map)
        if (extent.inside().first() <= id && id < extent.inside().end())
          return static_cast<std::uint32_t>(extent.outside().first() + id -
                                            extent.inside().first());
      return std::uint32_t{0xffffffff};
    };
    const auto inside = as_seen(shift, own);
    for (const auto& extent : map)
      for (auto id = extent.inside().first(); id < extent.inside().end(); ++id)
        EXPECT_EQ(outside(inside.of(static_cast<std::uint32_t>(id))),
                  shift.of(outside(static_cast<std::uint32_t>(id))));
  }
}

}  // namespace
}  // namespace userns::shift
