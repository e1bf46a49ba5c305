#include "frontend/container/addresses.h"

#include <gtest/gtest.h>

namespace userns::frontend {
namespace {

using Many = std::vector<std::string>;

TEST(Addresses, TheMachinesOwnOnesOfTheTrie) {
  constexpr std::string_view kTrie =
      "Main:\n"
      "  +-- 0.0.0.0/0 3 0 5\n"
      "     |-- 0.0.0.0\n"
      "        /0 universe UNICAST\n"
      "     +-- 10.0.0.0/24 2 0 2\n"
      "        +-- 10.0.0.0/29 2 0 2\n"
      "           |-- 10.0.0.0\n"
      "              /24 link UNICAST\n"
      "           |-- 10.0.0.5\n"
      "              /32 host LOCAL\n"
      "        |-- 10.0.0.255\n"
      "           /32 link BROADCAST\n"
      "     +-- 127.0.0.0/8 2 0 2\n"
      "        |-- 127.0.0.1\n"
      "           /32 host LOCAL\n"
      "Local:\n"
      "           |-- 10.0.0.5\n"
      "              /32 host LOCAL\n"
      "           |-- 192.168.7.1\n"
      "              /32 host LOCAL\n";
  EXPECT_EQ(ipv4_addresses(kTrie), (Many{"10.0.0.5", "192.168.7.1"}));
  EXPECT_EQ(ipv4_addresses(""), Many{});
  EXPECT_EQ(ipv4_addresses("|-- \x1b[31m\n/32 host LOCAL\n"), Many{});
}

TEST(Addresses, GlobalOnesOfIpv6) {
  constexpr std::string_view kList =
      "00000000000000000000000000000001 01 80 10 80       lo\n"
      "fe80000000000000020000fffe000001 02 40 20 80     eth0\n"
      "fd000000000000000000000000000005 02 40 00 80     eth0\n"
      "xd000000000000000000000000000005 02 40 00 80     eth0\n"
      "fd 02 40 00 80 eth0\n";
  EXPECT_EQ(ipv6_addresses(kList), Many{"fd00::5"});
}

}  // namespace
}  // namespace userns::frontend
