#include "frontend/store/id_blocks.h"

#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;
using Many = std::vector<std::string>;

struct Given {
  std::vector<IdRange> ranges;
  IdFacts facts;
  explicit Given(std::vector<std::pair<std::uint64_t, std::uint64_t>> pairs) {
    for (const auto& [first, count] : pairs) ranges.push_back(*IdRange::make(first, count));
    facts = {.uid = 1000,
             .gid = 1000,
             .caller_name = "alice",
             .uids = {.ranges = ranges, .name = "/etc/subuid"},
             .gids = {.ranges = ranges, .name = "/etc/subgid"}};
  }
};

Holder holder(std::string path, std::uint64_t first, std::uint64_t count) {
  return {.path = std::move(path),
          .uids = {*IdRange::make(first, count)},
          .gids = {*IdRange::make(first, count)}};
}
Many chosen(const Given& given, const std::vector<Holder>& holders = {},
            const BlockWish& wish = {}) {
  const auto blocks = choose_blocks(given.facts, holders, wish);
  if (!blocks) return {blocks.error().text};
  return map_values(*blocks);
}

TEST(IdBlocks, TheLowestFreeOneIsTaken) {
  const Given given({{100000, 200000}});
  EXPECT_EQ(chosen(given), (Many{"u:0:100000:65536", "g:0:100000:65536"}));
  EXPECT_EQ(chosen(given, {holder("/s/a", 100000, 65536)}),
            (Many{"u:0:165536:65536", "g:0:165536:65536"}));
  EXPECT_EQ(chosen(given, {holder("/s/b", 165536, 65536)}),
            (Many{"u:0:100000:65536", "g:0:100000:65536"}));
  // One by hand in the middle.
  EXPECT_EQ(chosen(given, {holder("/s/c", 120000, 10)}),
            (Many{"u:0:120010:65536", "g:0:120010:65536"}));
}

TEST(IdBlocks, UidsAndGidsAreChosenApart) {
  const Given given({{100000, 200000}});
  const Holder only_uids{.path = "/s/a", .uids = {*IdRange::make(100000, 1)}, .gids = {}};
  EXPECT_EQ(chosen(given, {only_uids}), (Many{"u:0:100001:65536", "g:0:100000:65536"}));
}

TEST(IdBlocks, PiecesAreJoinedWhereNoneIsLargeEnough) {
  const Given given({{100000, 40000}, {200000, 40000}});
  EXPECT_EQ(chosen(given), (Many{"u:0:100000:40000", "u:40000:200000:25536", "g:0:100000:40000",
                                 "g:40000:200000:25536"}));
}

TEST(IdBlocks, WhoHasFewerGetsThemAll) {
  EXPECT_EQ(chosen(Given({{100000, 1000}})), (Many{"u:0:100000:1000", "g:0:100000:1000"}));
  EXPECT_TRUE(contains(chosen(Given({{100000, 1000}}), {holder("/s/a", 100500, 1)})[0],
                       "is to have 1000 uids of its own, and 999"));
}

TEST(IdBlocks, TheHostsRootIsNeverGiven) {
  EXPECT_EQ(chosen(Given({{0, 70000}})), (Many{"u:0:1:65536", "g:0:1:65536"}));
}

TEST(IdBlocks, ASizeByHandIsExact) {
  const Given given({{100000, 65536}});
  const BlockWish half{.count = 32768};
  EXPECT_EQ(chosen(given, {holder("/s/a", 100000, 32768)}, half),
            (Many{"u:0:132768:32768", "g:0:132768:32768"}));
  EXPECT_TRUE(contains(chosen(given, {}, {.count = 65537})[0], "is to have 65537 uids"));
}

TEST(IdBlocks, WhenTheyRunOutItSaysWhoHoldsThem) {
  const auto text = chosen(Given({{100000, 65536}}),
                           {holder("/s/web", 100000, 65536), holder("/s/far", 900000, 5)})[0];
  EXPECT_TRUE(contains(
      text,
      "0 of alice's 65536 (/etc/subuid) are free: the others are held by /s/web; destroy one"));
  EXPECT_TRUE(contains(
      text, "NAME, or ask the administrator to run \"userns-policy grant alice --ids 65536\""));
  EXPECT_TRUE(contains(chosen(Given({}))[0], "alice has no subordinate uids in /etc/subuid"));
  std::vector<Holder> seven;
  for (std::uint64_t i = 0; i < 7; ++i)
    seven.push_back(holder("/s/" + std::to_string(i), 100000 + 9000 * i, 9000));
  EXPECT_TRUE(contains(chosen(Given({{100000, 65536}}), seven)[0],
                       "/s/0, /s/1, /s/2, /s/3, /s/4 and 2 more"));
}

TEST(IdBlocks, ARootFileSystemThatIsThereKeepsItsIds) {
  const Given given({{100000, 200000}});
  const BlockWish there{.root_uid = 150000, .root_gid = 150000};
  EXPECT_EQ(chosen(given, {}, there), (Many{"u:0:150000:65536", "g:0:150000:65536"}));
  EXPECT_EQ(chosen(given, {}, {.root_uid = 299999, .root_gid = 100000}),
            (Many{"u:0:299999:1", "g:0:100000:65536"}));
  EXPECT_TRUE(contains(chosen(given, {}, {.root_uid = 1000, .root_gid = 1000})[0],
                       "belongs to uid 1000, which is none of alice's"));
  EXPECT_TRUE(
      contains(chosen(given, {holder("/s/a", 160000, 1)}, there)[0], "/s/a has ids from there on"));
}

TEST(IdBlocks, AConfigSaysWhatItHolds) {
  const auto held = held_by("/s/a",
                            "# map = u:0:1:1\nmap = u:0:100000:10\n map=g:5:200000:20\nmap = "
                            "auto\nmap = x\nmapp = u:0:7:7\nmap = 300000:5");
  EXPECT_EQ(held.uids,
            (std::vector<IdRange>{*IdRange::make(100000, 10), *IdRange::make(300000, 5)}));
  EXPECT_EQ(held.gids,
            (std::vector<IdRange>{*IdRange::make(200000, 20), *IdRange::make(300000, 5)}));
}

TEST(IdBlocks, MapsByHandMeetTheirHolder) {
  const std::vector<Holder> holders{holder("/s/a", 100000, 10), holder("/s/b", 200000, 10)};
  EXPECT_EQ(holder_of({{*Extent::make(0, 200009, 5)}}, {}, holders), &holders[1]);
  EXPECT_EQ(holder_of({}, {{*Extent::make(0, 99999, 2)}}, holders), &holders[0]);
  EXPECT_EQ(holder_of({{*Extent::make(0, 100010, 5)}}, {}, holders), nullptr);
}

}  // namespace
}  // namespace userns::frontend
