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
      {"cannot make a user namespace: No space left on device", "userns"},
      {"cannot mount a fresh /proc: Operation not permitted", "proc"},
      {"cannot start newuidmap: No such file or directory", "newuidmap"},
  };
  for (const auto& [text, check] : kCases) EXPECT_EQ(check_for(text), check) << text;
}

TEST(Hint, WhatTheCallerWroteWrongPointsNowhere) {
  for (const std::string_view text : {"", "there is no option '--rotfs'; did you mean --rootfs?", "cannot use 'x'"})
    EXPECT_EQ(check_for(text), "") << text;
}

}  // namespace
}  // namespace userns::frontend
