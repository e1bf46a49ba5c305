#include "frontend/shift/state.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/expect.h"

namespace userns::shift {
namespace {

using test::text_of;

const Shift kShift{.uids = *IdShift::make({*Extent::make(0, 100, 10)}, "uid"),
                   .gids = *IdShift::make({*Extent::make(0, 200, 10)}, "gid")};

TEST(State, OwnerGroupAndTheirTally) {
  const auto after = *shifted({.uid = 3, .gid = 50, .mode = S_IFREG | 0644}, kShift);
  EXPECT_EQ(after.state.uid, 103U);
  EXPECT_EQ(after.state.gid, 50U);
  EXPECT_EQ(after.state.mode, S_IFREG | 0644U);
  EXPECT_EQ(after.tally.taken, 1U);
  EXPECT_EQ(after.tally.foreign, 1U);
}

TEST(State, WhatChownTakesAwayIsFragile) {
  EXPECT_FALSE(InodeState{.mode = S_IFREG | 0755}.is_fragile());
  EXPECT_TRUE(InodeState{.mode = S_IFREG | S_ISUID}.is_fragile());
  EXPECT_TRUE(InodeState{.mode = S_IFREG | S_ISGID}.is_fragile());
  EXPECT_TRUE((InodeState{.mode = S_IFREG, .capability = "x"}.is_fragile()));
  EXPECT_TRUE(InodeState{.mode = S_IFIFO | S_ISUID}.is_fragile());
  EXPECT_FALSE(InodeState{.mode = S_IFDIR | S_ISGID | S_ISVTX}.is_fragile());
  EXPECT_FALSE(InodeState{.mode = S_IFLNK | 0777}.is_fragile());
}

TEST(State, BlobsThatMakeNoSenseAreRefused) {
  EXPECT_NE(text_of(shifted({.access_acl = "x"}, kShift)), "");
  EXPECT_NE(text_of(shifted({.default_acl = "x"}, kShift)), "");
  EXPECT_NE(text_of(shifted({.capability = "x"}, kShift)), "");
}

}  // namespace
}  // namespace userns::shift
