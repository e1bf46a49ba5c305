#include "frontend/start/ids/tree_ids.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "policy/text.h"

namespace userns::frontend {
namespace {

ChosenIds with(std::initializer_list<Extent> extents) {
  return {.uids = {.extents = extents, .writer = MapWriter::kHelper},
          .gids = {.extents = extents, .writer = MapWriter::kHelper}};
}
Extent extent(std::uint64_t inside, std::uint64_t outside, std::uint64_t count) {
  return Extent::make(inside, outside, count).value();
}
std::string text(const std::vector<Extent>& extents) {
  std::string all;
  for (const auto& one : extents)
    all += concat(all.empty() ? "" : " ", one.inside().first(), ":", one.outside().first(), ":",
                  one.count());
  return all;
}
std::string own(const ChosenIds& ids, std::uint32_t caller, std::uint32_t inside) {
  const auto shown = own_files_as(ids, caller, caller, inside);
  if (!shown) return shown.error().text;
  return *shown ? text((*shown)->uids) : "as it is";
}
std::string block(const BlockIds& disk, const ChosenIds& ids) {
  const auto shown = block_as(disk, ids);
  if (!shown) return shown.error().text;
  return *shown ? text((*shown)->uids) : "as it is";
}
BlockIds tree(std::initializer_list<Extent> extents) { return {extents, extents}; }

TEST(OwnFilesAs, AnIdInsideTakesItsPlaceOnDisk) {
  EXPECT_EQ(own(with({extent(0, 100000, 65536)}), 1000, 0), "1000:100000:1 100001:100001:65535");
  EXPECT_EQ(own(with({extent(0, 100000, 10)}), 1000, 4),
            "1000:100004:1 100000:100000:4 100005:100005:5");
  EXPECT_EQ(own(with({extent(0, 100000, 10)}), 1000, 9), "1000:100009:1 100000:100000:9");
  EXPECT_EQ(own(with({extent(0, 100000, 1)}), 1000, 0), "1000:100000:1");
}

TEST(OwnFilesAs, TheCallersOwnIdInTheMapIsNotShownTwice) {
  const auto ids = with({extent(0, 100000, 1000), extent(1000, 1000, 1), extent(1001, 101000, 5)});
  EXPECT_EQ(own(ids, 1000, 1000), "as it is");
  EXPECT_EQ(own(ids, 1000, 0), "1000:100000:1 100001:100001:999 101000:101000:5");
}

TEST(OwnFilesAs, AnIdThatTheContainerLacksIsRefused) {
  EXPECT_NE(own(with({extent(0, 100000, 10)}), 1000, 10).find("no uid 10"), std::string::npos);
  EXPECT_EQ(own(with({extent(0, 1000, 1)}), 1000, 0), "as it is");
}

TEST(BlockAs, TheIdsInsideLeadFromDiskToTheContainer) {
  EXPECT_EQ(block(tree({extent(0, 100000, 65536)}), with({extent(0, 165536, 65536)})),
            "100000:165536:65536");
  EXPECT_EQ(
      block(tree({extent(0, 100000, 10)}), with({extent(0, 200000, 4), extent(4, 300000, 6)})),
      "100000:200000:4 100004:300000:6");
  EXPECT_EQ(block(tree({extent(0, 100000, 4), extent(4, 7000, 6)}), with({extent(2, 200000, 4)})),
            "100002:200000:2 7000:200002:2");
}

TEST(BlockAs, TheSameIdsNeedNoMountAndOthersThanAllNone) {
  EXPECT_EQ(block(tree({extent(0, 100000, 10)}), with({extent(0, 100000, 10)})), "as it is");
  EXPECT_NE(block(tree({extent(0, 100000, 10)}), with({extent(20, 200000, 10)})).find("none of"),
            std::string::npos);
}

}  // namespace
}  // namespace userns::frontend
