#include "frontend/shift/log_text.h"

#include <gtest/gtest.h>

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns::shift {
namespace {

using test::text_of;

LogHead head() {
  return {
      .own_uid = 1000,
      .own_gid = 1001,
      .cross_mounts = true,
      .shift = {.uids = *IdShift::make({*Extent::make(100000, 300000, 65536)}, "uid"),
                .gids = *IdShift::make({*Extent::make(5, 70, 1), *Extent::make(8, 90, 2)}, "gid")},
      .root = {.dev = 2049, .ino = 77},
      .root_born = 1234567890123456789};
}

constexpr InodeKey kOne{.dev = 2049, .ino = 5};
constexpr InodeKey kOther{.dev = 2049, .ino = UINT64_MAX};
const OldState kOld{.born = 9,
                    .state = {.uid = 1,
                              .gid = 4294967295,
                              .mode = 0104755,
                              .access_acl = std::string("\0\xff#\n", 4),
                              .capability = "caps"}};

std::string whole() {
  return print_head(head(), 2) + print_old(kOne, kOld) + print_old(kOther, {.state = {.uid = 8}}) +
         print_done(kOne);
}

TEST(Log, WhatIsPrintedIsRead) {
  const auto log = parse_log(whole());
  ASSERT_TRUE(log) << log.error().text;
  EXPECT_EQ(log->head.own_uid, 1000U);
  EXPECT_EQ(log->head.own_gid, 1001U);
  EXPECT_TRUE(log->head.cross_mounts);
  EXPECT_EQ(log->head.shift, head().shift);
  EXPECT_EQ(log->head.root, head().root);
  EXPECT_EQ(log->head.root_born, head().root_born);
  EXPECT_EQ(log->old.size(), 2U);
  EXPECT_EQ(log->old.at(kOne).state, kOld.state);
  EXPECT_EQ(log->old.at(kOne).born, 9U);
  EXPECT_TRUE(log->old.at(kOne).done);
  EXPECT_FALSE(log->old.at(kOther).done);
  EXPECT_EQ(log->sound_bytes, whole().size());
}

TEST(Log, ALaterLineReplacesAnEarlierOne) {
  const auto log = parse_log(whole() + print_old(kOne, {.state = {.uid = 6}}));
  ASSERT_TRUE(log);
  EXPECT_EQ(log->old.at(kOne).state.uid, 6U);
  EXPECT_FALSE(log->old.at(kOne).done);
}

TEST(Log, CutAnywhereItIsReadUpToTheLastWholeLineOrRefused) {
  const auto text = whole();
  const auto surveyed = text.size() - print_done(kOne).size();
  for (std::size_t size = 0; size < text.size(); ++size) {
    const auto log = parse_log(std::string_view(text).substr(0, size));
    EXPECT_EQ(log.has_value(), size >= surveyed) << size;
    if (!log) continue;
    EXPECT_FALSE(log->old.at(kOne).done);
    EXPECT_EQ(log->sound_bytes, surveyed);
  }
}

TEST(Log, AFlippedBitIsNoticed) {
  const auto text = whole();
  const auto surveyed = text.size() - print_done(kOne).size();
  for (std::size_t at = 0; at < text.size(); ++at) {
    auto bad = text;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    const auto log = parse_log(bad);
    EXPECT_EQ(log.has_value(), at >= surveyed) << at;
    if (log) {
      EXPECT_EQ(log->sound_bytes, surveyed);
    }
  }
}

TEST(Log, WhatComesAfterABadLineIsNotRead) {
  const auto log = parse_log(whole() + "zeros\n" + print_done(kOther));
  ASSERT_TRUE(log);
  EXPECT_EQ(log->sound_bytes, whole().size());
  EXPECT_FALSE(log->old.at(kOther).done);
}

TEST(Log, ADoneOfNothingEndsIt) {
  const auto log = parse_log(whole() + print_done({.dev = 1, .ino = 1}));
  ASSERT_TRUE(log);
  EXPECT_EQ(log->sound_bytes, whole().size());
}

TEST(Log, WithoutSurveyedInodesItIsWholeToo) {
  const auto text = print_head(head(), 0);
  const auto log = parse_log(text);
  ASSERT_TRUE(log);
  EXPECT_EQ(log->sound_bytes, text.size());
  EXPECT_NE(text_of(parse_log("")), "");
  EXPECT_NE(text_of(parse_log("userns-shift 2\n")), "");
}

}  // namespace
}  // namespace userns::shift
