#include "frontend/start/hint.h"

#include <gtest/gtest.h>

namespace userns::frontend {
namespace {

TEST(Hint, AFailureOfTheHostPointsToItsCheck) {
  constexpr std::string_view kCases[][2] = {
      {"alice has no subordinate ids in /etc/subgid: ask", "subgid"},
      {"newuidmap: uid range [0-1) -> [7-8) not allowed: alice has none [IM-RANGE]", "subuid"},
      {"newgidmap: gid range [0-1) -> [7-8) not allowed: alice has none [IM-RANGE]", "subgid"},
      {"newgidmap: lacks CAP_SETGID [PR-MISSING]", "newgidmap"},
      {"newuidmap: lacks CAP_SETUID [PR-MISSING]", "newuidmap"},
      {"userns-net: lacks CAP_NET_ADMIN [PR-MISSING]", "userns-net"},
      {"userns-net: /etc/userns/net.conf is not root's [TF-FILE]", "net-conf"},
      {"newuidmap: /etc/subuid is not root's [TF-FILE]", "subuid"},
      {"userns-net: br0 is not up [NR-BRIDGE]", "bridge"},
      {"userns-cgroup: /etc/userns/cgroup.conf:1:3: x [CC-LINE]", "cgroup-conf"},
      {"userns-cgroup: /usr is not a directory of a cgroup v2 file system [CG-BASE]", "cgroups"},
      {"userns-net: cannot set up the NIC: the kernel did not lock the port against spoofing "
       "[NR-PORT]",
       "bridge"},
      {"newuidmap: the kernel takes no filter [PR-LOCK]", "kernel"},
      {"cannot make a user namespace: No space left on device", "userns"},
      {"cannot mount a fresh /proc: Operation not permitted", "proc"},
      {"cannot start newuidmap: No such file or directory", "newuidmap"},
  };
  for (const auto& [text, check] : kCases) EXPECT_EQ(check_for(text, {}), check) << text;
}

// Each of these is a real one in tests/frontend/hints.py, as far as it can be had there.
TEST(Hint, TheCauseMayBeTheSessions) {
  constexpr std::string_view kNoUserns = "cannot make a user namespace: Operation not permitted";
  constexpr std::string_view kNoNamespaces = "cannot make the namespaces: Operation not permitted";
  EXPECT_EQ(check_for(kNoUserns, {.restricted = true}), "apparmor-userns");
  EXPECT_EQ(check_for(kNoNamespaces, {.restricted = true}), "apparmor-userns");
  EXPECT_EQ(check_for(kNoUserns, {.filtered = true}), "userns");
  constexpr std::string_view kMissing = "newuidmap: needs CAP_SETUID [PR-MISSING]";
  EXPECT_EQ(check_for(kMissing, {.no_new_privs = true}), "no-new-privs");
  EXPECT_EQ(check_for(kMissing, {.bounded = true}), "bounding-set");
  EXPECT_EQ(
      check_for("cannot make a user namespace: No space left on device", {.restricted = true}),
      "userns");
  EXPECT_EQ(check_for("cannot attach a mount: Operation not permitted", {.filtered = true}),
            "seccomp");
  EXPECT_EQ(check_for("cannot attach a mount: Operation not permitted", {}), "");
  EXPECT_EQ(check_for("cannot open x: Function not implemented", {.filtered = true}), "seccomp");
  EXPECT_EQ(check_for("cannot open x: Function not implemented", {}), "kernel");
  EXPECT_EQ(check_for("--memory can't be set: this host offers no memory.max: its controller is "
                      "not delegated to the "
                      "user's service manager",
                      {}),
            "delegation");
}

TEST(Hint, WhatTheCallerWroteWrongPointsNowhere) {
  for (const std::string_view text :
       {"", "there is no option '--rotfs'; did you mean --rootfs?", "cannot use 'x'"})
    EXPECT_EQ(check_for(text, {}), "") << text;
}

}  // namespace
}  // namespace userns::frontend
