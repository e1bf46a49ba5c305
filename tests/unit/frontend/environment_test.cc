#include "frontend/start/plan/environment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace userns::frontend {
namespace {

using Words = std::vector<std::string>;
constexpr std::array<std::string_view, 4> kCaller{"PATH=/bin", "HOME=/home/alice", "A=1",
                                                  "SHELL=/bin/zsh"};

bool has(const Words& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

TEST(Environment, IsTheCallersInTheHostsTree) {
  EXPECT_EQ(make_environment({}, kCaller, nullptr),
            (Words{"PATH=/bin", "HOME=/home/alice", "A=1", "SHELL=/bin/zsh", "container=userns"}));
}

constexpr std::string_view kFullPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

TEST(Environment, IsCleanInARootfs) {
  Spec spec;
  spec.rootfs = "/somewhere";
  const InsideUser inside{"u", "/home/u"};
  EXPECT_EQ(make_environment(spec, kCaller, &inside),
            (Words{std::string(kFullPath), "LANG=C.UTF-8", "HOME=/home/u", "USER=u", "LOGNAME=u",
                   "container=userns"}));
  constexpr std::array<std::string_view, 2> kAtTerminal{"TERM=xterm", "LANG=de_DE.UTF-8"};
  spec.env = {{"A", "2"}, {"LANG", std::nullopt}};
  const auto words = make_environment(spec, kAtTerminal, &inside);
  EXPECT_TRUE(has(words, "TERM=xterm") && has(words, "A=2") && has(words, "LANG=de_DE.UTF-8"));
}

TEST(Environment, SpeaksOfTheContainersUserInAnOverlayOfTheHostsTree) {
  const InsideUser inside{"u", "/home/u"};
  EXPECT_EQ(make_environment({}, kCaller, &inside),
            (Words{"PATH=/bin", "A=1", "HOME=/home/u", "USER=u", "LOGNAME=u", "container=userns"}));
}

TEST(Environment, WishesGoOverEverything) {
  Spec spec;
  spec.env = {
      {"A", "2"}, {"HOME", "/x"}, {"B", ""}, {"SHELL", std::nullopt}, {"NOWHERE", std::nullopt}};
  const InsideUser inside{"", "/"};
  const auto words = make_environment(spec, kCaller, &inside);
  EXPECT_TRUE(has(words, "A=2") && has(words, "HOME=/x") && has(words, "B=") &&
              has(words, "SHELL=/bin/zsh"));
  EXPECT_FALSE(has(words, "A=1"));
  EXPECT_TRUE(
      std::ranges::none_of(words, [](const auto& word) { return word.starts_with("NOWHERE"); }));
}

TEST(Environment, CanBeClearedAndThenHoldsOnlyWishes) {
  Spec spec;
  spec.clear_env = true;
  spec.env = {{"A", std::nullopt}, {"C", "3"}};
  const InsideUser inside{"root", "/root"};
  EXPECT_EQ(make_environment(spec, kCaller, &inside), (Words{"A=1", "C=3"}));
}

TEST(InsideUser, IsFoundInThePasswdFile) {
  const auto user =
      inside_user("root:x:0:0::/root:/bin/sh\nbroken\nu:x:1000:1000:U:/home/u:/bin/sh", 1000);
  EXPECT_EQ(user.name, "u");
  EXPECT_EQ(user.home, "/home/u");
}

TEST(InsideUser, HasSensibleDefaultsWhereThereIsNoEntry) {
  EXPECT_EQ(inside_user("", 0).home, "/root");
  EXPECT_EQ(inside_user("\n::\n:::", 5).home, "/");
  EXPECT_EQ(inside_user("x:x:0005:5::/no:/bin/sh\n", 5).home, "/");  // one spelling of a number
}

}  // namespace
}  // namespace userns::frontend
