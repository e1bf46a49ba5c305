#include "frontend/oci/config/arguments.h"

#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;
using Words = std::vector<std::string>;

TEST(OciArguments, AsPodmansConmonWritesThem) {
  const auto told = parse_arguments(Words{"--root=/r", "--log-format=json", "--log", "/l", "create",
                                          "--bundle", "/b", "--pid-file", "/p", "--console-socket",
                                          "/c", "--preserve-fds", "3", "abc"});
  ASSERT_TRUE(told) << text_of(told);
  EXPECT_EQ(told->root, "/r");
  EXPECT_TRUE(told->json_log);
  EXPECT_EQ(told->log, "/l");
  EXPECT_EQ(told->verb, "create");
  EXPECT_EQ(told->bundle, "/b");
  EXPECT_EQ(told->preserve_fds, 3U);
  EXPECT_EQ(told->id, "abc");
}

TEST(OciArguments, OptionsMayStandBehindTheId) {
  const auto told = parse_arguments(Words{"delete", "abc", "--force"});
  ASSERT_TRUE(told) << text_of(told);
  EXPECT_TRUE(told->force);
  EXPECT_EQ(parse_arguments(Words{"kill", "abc", "KILL"})->words, Words{"KILL"});
}

TEST(OciArguments, ACommandOfExecIsNotLookedAt) {
  const auto told = parse_arguments(Words{"exec", "-t", "abc", "ls", "-d", "--", "/"});
  ASSERT_TRUE(told) << text_of(told);
  EXPECT_TRUE(told->tty);
  EXPECT_FALSE(told->detach);
  EXPECT_EQ(told->words, (Words{"ls", "-d", "--", "/"}));
}

TEST(OciArguments, WhatIsWrongIsSaid) {
  EXPECT_TRUE(contains(text_of(parse_arguments(Words{})), "verb"));
  EXPECT_TRUE(contains(text_of(parse_arguments(Words{"fly", "abc"})), "fly"));
  EXPECT_TRUE(contains(text_of(parse_arguments(Words{"start"})), "id"));
  EXPECT_TRUE(contains(text_of(parse_arguments(Words{"--log-format", "xml", "list"})), "json"));
  EXPECT_FALSE(parse_arguments(Words{"create", "--bundel", "x", "abc"}));
  EXPECT_FALSE(parse_arguments(Words{"create", "--preserve-fds", "-1", "abc"}));
}

}  // namespace
}  // namespace userns::frontend
