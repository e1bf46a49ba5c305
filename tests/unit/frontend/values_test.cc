#include "frontend/spec/values.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>

#include <string>

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;

std::string shown(const Result<std::variant<MapAuto, MapWish>>& map) {
  if (!map) return "refused";
  if (std::holds_alternative<MapAuto>(*map)) return "auto";
  const auto& [which, extent] = std::get<MapWish>(*map);
  return concat(which == MapWish::Which::kUid   ? "u"
                : which == MapWish::Which::kGid ? "g"
                                                : "b",
                " ", extent.inside().first(), " ", extent.outside().first(), " ", extent.count());
}

TEST(Map, GoodOnesAreRead) {
  constexpr std::string_view kGood[][2] = {
      {"auto", "auto"},
      {"b:0:100000:65536", "b 0 100000 65536"},
      {"u:0:1000:1", "u 0 1000 1"},
      {"g:5:100000:3", "g 5 100000 3"},
      {"100000:65536", "b 0 100000 65536"},
      {"b:4294967294:0:1", "b 4294967294 0 1"},
      {"0:4294967295", "b 0 0 4294967295"},
      {"b:2147483647:2147483648:2147483647", "b 2147483647 2147483648 2147483647"},
  };
  for (const auto& [text, meaning] : kGood) EXPECT_EQ(shown(parse_map(text)), meaning) << text;
}

TEST(Map, BadOnesSayWhy) {
  constexpr std::string_view kBad[][2] = {
      {"", "none of"},
      {"Auto", "none of"},
      {"1000", "none of"},
      {"0:100000:65536", "none of"},  // lxc's form lacks the kind
      {"x:0:1:1", "none of"},
      {"b:0:1", "none of"},
      {"b:0:1:1:1", "too many parts"},
      {"b::1:1", "is empty"},
      {"b:0:0x10:1", "hexadecimal"},
      {"b:0:010:1", "octal"},
      {"b:0:-1:1", "sign"},
      {"b:0: 1:1", "not a decimal"},
      {"b:0:1:0", "count 0"},
      {"5:0", "count 0"},
      {"b:4294967295:0:1", "leaves the id space"},
      {"1:4294967295", "leaves the id space"},
      {"b:0:0:4294967296", "leaves the id space"},
      {"b:0:99999999999999999999:1", "too large"},
  };
  for (const auto& [text, why] : kBad) EXPECT_TRUE(contains(text_of(parse_map(text)), why)) << text;
}

TEST(Id, BoundsAreTheKernels) {
  EXPECT_EQ(parse_id("0").value_or(7), 0U);
  EXPECT_EQ(parse_id("4294967294").value_or(7), 4294967294U);
  for (const std::string_view text : {"", "4294967295", "4294967296", "-1", "01", "root"})
    EXPECT_FALSE(parse_id(text)) << text;
}

TEST(Ids, AListIsCommaSeparated) {
  EXPECT_EQ(parse_ids("1,22,333").value_or(std::vector<std::uint32_t>{}),
            (std::vector<std::uint32_t>{1, 22, 333}));
  for (const std::string_view text : {"", ",", "1,", ",1", "1,,2", "1 2", "1;2"})
    EXPECT_FALSE(parse_ids(text)) << text;
}

TEST(Namespaces, NamesBecomeFlags) {
  EXPECT_EQ(parse_namespaces("mount").value_or(0), CLONE_NEWNS);
  EXPECT_EQ(parse_namespaces("pid,ipc,pid").value_or(0), CLONE_NEWPID | CLONE_NEWIPC);
  EXPECT_EQ(parse_namespaces("all").value_or(0), CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
                                                     CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
                                                     CLONE_NEWCGROUP | CLONE_NEWTIME);
}

TEST(Namespaces, AWrongNameIsAnsweredWithTheRightOne) {
  EXPECT_TRUE(contains(text_of(parse_namespaces("mount,network")), "'network'"));
  EXPECT_TRUE(contains(text_of(parse_namespaces("moutn")), "did you mean mount?"));
  EXPECT_TRUE(contains(text_of(parse_namespaces("Mount")), "did you mean mount?"));
  EXPECT_FALSE(parse_namespaces(""));
  EXPECT_FALSE(parse_namespaces("mount,"));
}

TEST(Capabilities, NamesAreTakenInEverySpelling) {
  for (const std::string_view text : {"net_admin", "NET_ADMIN", "cap_net_admin", "CAP_NET_ADMIN"})
    EXPECT_EQ(parse_capabilities(text).value_or(std::vector<int>{}),
              std::vector<int>{CAP_NET_ADMIN})
        << text;
  EXPECT_EQ(parse_capabilities("all").value_or(std::vector<int>{}).size(), CAP_LAST_CAP + 1U);
  EXPECT_TRUE(parse_capabilities("none") && parse_capabilities("none")->empty());
}

TEST(Capabilities, AWrongNameIsAnsweredWithTheRightOne) {
  EXPECT_TRUE(contains(text_of(parse_capabilities("cap_sysadmin")), "did you mean sys_admin?"));
  for (const std::string_view text : {"", "cap_", "chown,", "21", "chown all"})
    EXPECT_FALSE(parse_capabilities(text)) << text;
}

TEST(Path, InsideIsAbsoluteAndNeverGoesUp) {
  for (const std::string_view text : {"/", "/a", "/a/b/", "//a", "/..a", "/a/...", "/a b"})
    EXPECT_TRUE(parse_path(text)) << text;
  for (const std::string_view text : {"", "a", "./a", "..", "/..", "/a/..", "/a/../b", "~"})
    EXPECT_FALSE(parse_path(text)) << text;
}

TEST(Bind, SourceDestinationAndMode) {
  const auto plain = parse_bind("src:/dst");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->source, "src");
  EXPECT_EQ(plain->destination, "/dst");
  EXPECT_FALSE(plain->read_only);
  EXPECT_TRUE(parse_bind("/a:/b:ro").value_or(BindWish{}).read_only);
  EXPECT_TRUE(parse_bind("/a:/b:rw") && !parse_bind("/a:/b:rw")->read_only);
  EXPECT_FALSE(plain->own_as);
  EXPECT_EQ(parse_bind("/a:/b:idmap").value_or(BindWish{}).own_as, 0U);
  const auto both = parse_bind("/a:/b:ro,idmap=1000").value_or(BindWish{});
  EXPECT_TRUE(both.read_only);
  EXPECT_EQ(both.own_as, 1000U);
}

TEST(Bind, BadOnesAreRefused) {
  for (const std::string_view text :
       {"", ":", "/a", "/a:", ":/b", "/a:b", "/a:/b:", "/a:/b:RO", "/a:/b:ro:", "/a:/b:ro:x",
        "/a:/b:ro,", "/a:/b:ro,,idmap", "/a:/b:idmap=", "/a:/b:idmap=x", "/a:/b:idmap=4294967295",
        "/a:/b/../c"})
    EXPECT_FALSE(parse_bind(text)) << text;
  EXPECT_TRUE(contains(text_of(parse_bind("/a:/")), "--rootfs"));
  EXPECT_TRUE(contains(text_of(parse_bind("/a://")), "--rootfs"));
}

TEST(Env, ANameAloneIsTheCallers) {
  EXPECT_FALSE(parse_env("HOME")->value);
  EXPECT_EQ(parse_env("A=")->value, "");
  EXPECT_EQ(parse_env("A=b=c")->value, "b=c");
  EXPECT_EQ(parse_env("A=b=c")->name, "A");
  EXPECT_FALSE(parse_env(""));
  EXPECT_FALSE(parse_env("=x"));
}

TEST(Hostname, IsOneTheKernelAndPeopleTake) {
  for (const std::string& text :
       {std::string("a"), std::string("web-1.example"), std::string(64, 'a')})
    EXPECT_TRUE(parse_hostname(text)) << text;
  for (const std::string& text : {std::string(), std::string(65, 'a'), std::string("a b"),
                                  std::string("a/b"), std::string("\xc3\xa4"), std::string("a\n")})
    EXPECT_FALSE(parse_hostname(text)) << text;
}

TEST(Rlimit, SoftAloneIsBoth) {
  const auto one = parse_rlimit("nofile=1024");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->resource, RLIMIT_NOFILE);
  EXPECT_EQ(one->soft, 1024U);
  EXPECT_EQ(one->hard, 1024U);
  const auto two = parse_rlimit("core=0:unlimited");
  ASSERT_TRUE(two);
  EXPECT_EQ(two->soft, 0U);
  EXPECT_EQ(two->hard, RLIM_INFINITY);
}

TEST(Rlimit, BadOnesSayWhy) {
  constexpr std::string_view kBad[][2] = {
      {"nofile", "NAME=SOFT"},
      {"", "NAME=SOFT"},
      {"=1", "no resource"},
      {"nofiles=1", "mean nofile?"},
      {"nofile=", "is empty"},
      {"nofile=1:", "is empty"},
      {"nofile=2:1", "above"},
      {"nofile=unlimited:1", "above"},
      {"nofile=1:2:3", "not a decimal"},
      {"nofile=1k", "not a decimal"},
      {"nofile=-1", "sign"},
  };
  for (const auto& [text, why] : kBad)
    EXPECT_TRUE(contains(text_of(parse_rlimit(text)), why)) << text;
}

TEST(Timeout, SecondsOrMilliseconds) {
  using std::chrono::milliseconds;
  const auto read = [](std::string_view text) {
    return parse_timeout(text).value_or(milliseconds(-1));
  };
  EXPECT_EQ(read("0"), milliseconds(0));
  EXPECT_EQ(read("10"), milliseconds(10000));
  EXPECT_EQ(read("10s"), milliseconds(10000));
  EXPECT_EQ(read("500ms"), milliseconds(500));
  for (const std::string_view text :
       {"", "s", "ms", "1m", "1.5", "-1", "1 s", "31536001", "18446744073709551615"})
    EXPECT_EQ(read(text), milliseconds(-1)) << text;
}

TEST(Fd, IsAnIntOrNothing) {
  EXPECT_EQ(parse_fd("0").value_or(-1), 0);
  EXPECT_EQ(parse_fd("2147483647").value_or(-1), 2147483647);
  for (const std::string_view text : {"", "-1", "2147483648", "3 ", "x"})
    EXPECT_FALSE(parse_fd(text)) << text;
}

TEST(Signal, IsANameOrANumber) {
  for (const auto* const text : {"TERM", "SIGTERM", "15", "SIG15"})
    EXPECT_EQ(parse_signal(text).value_or(0), SIGTERM);
  EXPECT_EQ(parse_signal("RTMIN+3").value_or(0), SIGRTMIN + 3);
  EXPECT_EQ(parse_signal("SIGRTMIN+0").value_or(0), SIGRTMIN);
  for (const auto* const text : {"", "0", "65", "-1", "term", "SIG", "RTMIN+99", "RTMIN+", "NOPE"})
    EXPECT_TRUE(contains(text_of(parse_signal(text)), "is not a signal")) << text;
}

TEST(Choice, WhatIsNoneOfTheWordsListsThem) {
  constexpr std::string_view kWords[] = {"auto", "yes", "no"};
  EXPECT_EQ(parse_choice("yes", kWords).value_or(9), 1U);
  EXPECT_TRUE(contains(text_of(parse_choice("Yes", kWords)), "auto, yes, no"));
  EXPECT_TRUE(parse_yes_no("yes").value_or(false));
  EXPECT_FALSE(parse_yes_no("no").value_or(true));
  EXPECT_FALSE(parse_yes_no("1"));
  EXPECT_FALSE(parse_yes_no(""));
}

}  // namespace
}  // namespace userns::frontend
