#include "frontend/spec/options.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;

Result<Spec> parse(std::initializer_list<std::string_view> words) {
  return parse_options(std::vector(words));
}

constexpr std::uint64_t kDefault = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
                                   CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;

TEST(Options, NoneAtAllIsAContainerWithEverythingOfItsOwn) {
  const auto spec = parse({});
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->namespaces, kDefault);
  EXPECT_TRUE(std::holds_alternative<MapAuto>(spec->mapping));
  EXPECT_TRUE(std::holds_alternative<NetNone>(spec->net));
  EXPECT_EQ(spec->uid, 0U);
  EXPECT_EQ(spec->seccomp, SeccompMode::kDefault);
  EXPECT_TRUE(spec->command.empty());
  EXPECT_TRUE(spec->rootfs.empty());
}

TEST(Options, AValueFollowsOrIsAttached) {
  EXPECT_EQ(parse({"--hostname", "web"})->hostname, "web");
  EXPECT_EQ(parse({"--hostname=web"})->hostname, "web");
}

TEST(Options, EachReachesItsPlaceInTheSpec) {
  const auto spec = parse({"--uid",
                           "5",
                           "--gid",
                           "6",
                           "--groups",
                           "7,8",
                           "--groups",
                           "9",
                           "--rootfs",
                           "r",
                           "--overlay",
                           "--env",
                           "A=b",
                           "--env",
                           "HOME",
                           "--clear-env",
                           "--cwd",
                           "/c",
                           "--tty",
                           "no",
                           "--cap-drop",
                           "kill",
                           "--cap-keep",
                           "chown,fowner",
                           "--no-new-privs",
                           "--seccomp",
                           "none",
                           "--rlimit",
                           "core=0",
                           "--init",
                           "--stop-timeout",
                           "2",
                           "--die-with-parent",
                           "--pid-file",
                           "p",
                           "--info-fd",
                           "3",
                           "--wait",
                           "--dry-run",
                           "--hostname",
                           "h"});
  ASSERT_TRUE(spec) << text_of(spec);
  EXPECT_EQ(spec->uid, 5U);
  EXPECT_EQ(spec->gid, 6U);
  EXPECT_EQ(spec->groups, (std::vector<std::uint32_t>{7, 8, 9}));
  EXPECT_EQ(spec->rootfs, "r");
  EXPECT_TRUE(spec->overlay);
  EXPECT_EQ(spec->env.size(), 2U);
  EXPECT_TRUE(spec->clear_env);
  EXPECT_EQ(spec->cwd, "/c");
  EXPECT_EQ(spec->tty, TtyMode::kNo);
  EXPECT_EQ(spec->cap_drop, std::vector<int>{CAP_KILL});
  EXPECT_EQ(spec->cap_keep, (std::vector<int>{CAP_CHOWN, CAP_FOWNER}));
  EXPECT_TRUE(spec->no_new_privs);
  EXPECT_EQ(spec->seccomp, SeccompMode::kNone);
  EXPECT_EQ(spec->rlimits.size(), 1U);
  EXPECT_TRUE(spec->init);
  EXPECT_EQ(spec->stop_timeout, std::chrono::seconds(2));
  EXPECT_TRUE(spec->die_with_parent);
  EXPECT_EQ(spec->pid_file, "p");
  EXPECT_EQ(spec->info_fd, 3);
  EXPECT_TRUE(spec->wait);
  EXPECT_TRUE(spec->dry_run);
  EXPECT_EQ(spec->hostname, "h");
}

TEST(Options, AFlagMayBeSaidYesOrNo) {
  EXPECT_TRUE(parse({"--read-only=yes"})->read_only);
  EXPECT_FALSE(parse({"--read-only=no"})->read_only);
  EXPECT_TRUE(contains(text_of(parse({"--read-only=maybe"})), "neither yes nor no"));
  // A word after a flag is not its value.
  EXPECT_TRUE(contains(text_of(parse({"--read-only", "no"})), "'no' is not an option"));
}

TEST(Options, MountsStayInTheOrderGiven) {
  const auto spec = parse({"--bind", "/a:/x", "--tmpfs", "/x/y", "--bind", "/b:/x/y/z:ro"});
  ASSERT_TRUE(spec);
  ASSERT_EQ(spec->mounts.size(), 3U);
  EXPECT_EQ(std::get<BindWish>(spec->mounts[0]).destination, "/x");
  EXPECT_EQ(std::get<TmpfsWish>(spec->mounts[1]).destination, "/x/y");
  EXPECT_TRUE(std::get<BindWish>(spec->mounts[2]).read_only);
}

TEST(Options, MapsByHandAreAllKept) {
  const auto spec = parse({"--map", "u:0:1000:1", "--map", "g:0:1000:1", "--map", "b:1:100000:10"});
  ASSERT_TRUE(spec);
  EXPECT_EQ(std::get<std::vector<MapWish>>(spec->mapping).size(), 3U);
}

TEST(Options, TheWaysToMapExcludeEachOther) {
  EXPECT_FALSE(parse({"--map", "auto", "--map-self"}));
  EXPECT_FALSE(parse({"--map", "auto", "--map", "100000:10"}));
  EXPECT_FALSE(parse({"--map-self", "--map", "100000:10"}));
  EXPECT_TRUE(std::holds_alternative<MapSelf>(parse({"--map-self"})->mapping));
  EXPECT_TRUE(std::holds_alternative<MapAuto>(parse({"--map", "auto"})->mapping));
}

TEST(Options, UnshareIsExactAndShareIsTheRest) {
  EXPECT_EQ(parse({"--unshare", "mount,pid"})->namespaces,
            std::uint64_t{CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID});
  EXPECT_EQ(parse({"--unshare", "mount", "--unshare", "pid"})->namespaces,
            std::uint64_t{CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID});
  EXPECT_EQ(parse({"--unshare", "user"})->namespaces, std::uint64_t{CLONE_NEWUSER});
  EXPECT_EQ(parse({"--unshare", "all"})->namespaces, kDefault | CLONE_NEWTIME);
  EXPECT_EQ(parse({"--share", "pid,ipc"})->namespaces,
            kDefault & ~std::uint64_t{CLONE_NEWPID | CLONE_NEWIPC});
  EXPECT_EQ(parse({"--unshare", "all", "--share", "time"})->namespaces, kDefault);
  EXPECT_TRUE(contains(text_of(parse({"--share", "user"})), "cannot be shared"));
  EXPECT_TRUE(contains(text_of(parse({"--share", "all"})), "cannot be shared"));
}

TEST(Options, TheNetworkAndItsNamespaceAgree) {
  EXPECT_TRUE(std::holds_alternative<NetHost>(parse({"--net", "host"})->net));
  EXPECT_EQ(parse({"--net", "host"})->namespaces & CLONE_NEWNET, 0U);
  EXPECT_TRUE(std::holds_alternative<NetHost>(parse({"--share", "net"})->net));
  EXPECT_TRUE(std::holds_alternative<NetHost>(parse({"--unshare", "mount"})->net));
  EXPECT_NE(parse({"--unshare", "net", "--net", "none"})->namespaces & CLONE_NEWNET, 0U);
  EXPECT_FALSE(parse({"--share", "net", "--net", "none"}));
  EXPECT_FALSE(parse({"--unshare", "mount", "--net", "none"}));
  EXPECT_FALSE(parse({"--unshare", "net", "--net", "host"}));
  EXPECT_TRUE(parse({"--share", "net", "--net", "host"}));
}

TEST(Options, WhatContradictsItselfIsRefused) {
  EXPECT_TRUE(contains(text_of(parse({"--share", "mount", "--rootfs", "r"})), "mount namespace"));
  EXPECT_TRUE(contains(text_of(parse({"--share", "mount", "--tmpfs", "/t"})), "mount namespace"));
  EXPECT_TRUE(contains(text_of(parse({"--share", "uts", "--hostname", "h"})), "uts namespace"));
  EXPECT_TRUE(contains(text_of(parse({"--share", "pid", "--init"})), "pid namespace"));
  EXPECT_TRUE(contains(text_of(parse({"--read-only", "--overlay"})), "one of them"));
  EXPECT_TRUE(contains(text_of(parse({"--hostname", "a", "--hostname", "b"})), "given twice"));
}

TEST(Options, AnUnknownOneIsAnsweredWithTheNearest) {
  EXPECT_TRUE(
      contains(text_of(parse({"--rotfs", "x"})), "no option '--rotfs'; did you mean --rootfs?"));
  EXPECT_TRUE(contains(text_of(parse({"--readonly"})), "did you mean --read-only?"));
  EXPECT_TRUE(
      contains(text_of(parse({"--frobnicate=x"})), "no option '--frobnicate' (userns-run --help"));
  // An abbreviation would change its meaning as options are added.
  EXPECT_TRUE(contains(text_of(parse({"--host", "x"})), "did you mean --hostname?"));
}

TEST(Options, BadWordsSayWhatToDo) {
  EXPECT_TRUE(contains(text_of(parse({"--hostname"})), "needs a value"));
  EXPECT_TRUE(contains(text_of(parse({"--hostname", "--init"})), "needs a value"));
  EXPECT_EQ(parse({"--rootfs=--odd"})->rootfs, "--odd");
  EXPECT_TRUE(contains(text_of(parse({"--init", "ls", "-l"})), "written after --"));
  EXPECT_TRUE(contains(text_of(parse({"-x"})), "'-x'"));
  EXPECT_TRUE(contains(text_of(parse({"-"})), "'-'"));
  EXPECT_TRUE(contains(text_of(parse({""})), "''"));
  EXPECT_TRUE(contains(text_of(parse({"--=x"})), "not an option"));
  EXPECT_TRUE(contains(text_of(parse({"--rootfs", ""})), "--rootfs '': the value is empty"));
  EXPECT_TRUE(contains(text_of(parse({"--uid", "-1"})), "--uid: the id '-1' has a sign"));
  EXPECT_TRUE(contains(text_of(parse({"--tty", "maybe"})), "auto, yes, no"));
}

TEST(Options, AHostileWordIsQuoted) {
  EXPECT_TRUE(contains(text_of(parse({"--\x1b[2J"})), "\\x1b"));
  EXPECT_TRUE(contains(text_of(parse({"--hostname", "\x1b[2J"})), "\\x1b"));
}

TEST(Options, HelpNamesEachInALineOfATerminal) {
  const auto help = options_help();
  for (const std::string_view name :
       {"--map ", "--map-self ", "--rootfs ", "--dry-run ", "--seccomp "})
    EXPECT_TRUE(contains(help, name));
  std::size_t begin = 0;
  std::size_t lines = 0;
  for (auto end = help.find('\n'); end != std::string::npos;
       begin = end + 1, end = help.find('\n', begin), ++lines)
    EXPECT_LE(end - begin, 100U) << help.substr(begin, end - begin);
  EXPECT_LE(lines, 68U);
}

}  // namespace
}  // namespace userns::frontend
