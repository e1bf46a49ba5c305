#include "policy/ip_net.h"

#include "tests/unit/expect.h"

namespace userns {
namespace {

IpNet net(std::string_view text) { return IpNet::parse(text).value_or(IpNet{}); }

TEST(IpNet, WritesWhatItRead) {
  for (const auto* text : {"10.9.0.16/28", "0.0.0.0/0", "255.255.255.255/32", "fd00:9:1::/120",
                           "::/0", "fe80::1/128", "::1/64"}) {
    ASSERT_TRUE(IpNet::parse(text)) << text;
    EXPECT_EQ(net(text).text(), text);
  }
  EXPECT_EQ(net("10.9.0.1").text(), "10.9.0.1/32");
  EXPECT_EQ(net("10.9.0.1/24").address(), "10.9.0.1");
  EXPECT_EQ(net("FD00::0:1").text(), "fd00::1/128");
}

TEST(IpNet, TakesNothingElse) {
  for (const auto* text : {"",
                           "/",
                           "/24",
                           "10.9.0.1/",
                           "10.9.0.1/33",
                           "10.9.0.1/-1",
                           "10.9.0.1/024",
                           "10.9.0",
                           "10.9.0.256",
                           "10.9.0.01",
                           " 10.9.0.1",
                           "10.9.0.1 ",
                           "fd00::/129",
                           "fd00:::",
                           "::ffff:1.2.3.4",
                           "::ffff:0:0/96",
                           "1.2.3.4.5",
                           "localhost",
                           "10.9.0.1/24/24",
                           "fe80::1%eth0"})
    EXPECT_FALSE(IpNet::parse(text)) << text;
  EXPECT_FALSE(IpNet::parse(std::string_view("10.9.0.1\0/24", 12)));
}

TEST(IpNet, TakesTheKernelsBytesOfTheRightLengthOnly) {
  EXPECT_EQ(IpNet::of_bytes(std::string_view("\x0a\x09\x00\x01", 4), 24)->text(), "10.9.0.1/24");
  EXPECT_EQ(IpNet::of_bytes(std::string(16, '\0'), 128)->text(), "::/128");
  for (const std::size_t size : {0U, 3U, 5U, 15U, 17U})
    EXPECT_FALSE(IpNet::of_bytes(std::string(size, 'a'), 8)) << size;
  EXPECT_FALSE(IpNet::of_bytes("abcd", 33));
}

TEST(IpNet, KnowsItsAddresses) {
  EXPECT_EQ(net("10.9.0.16/28").size(), 16U);
  EXPECT_EQ(net("10.9.0.16/32").size(), 1U);
  EXPECT_EQ(net("10.0.0.0/8").size(), kMostAddresses);
  EXPECT_EQ(net("fd00::/64").size(), kMostAddresses);
  EXPECT_EQ(net("fd00::/113").size(), 32768U);
  EXPECT_EQ(net("10.9.0.16/28").at(15).text(), "10.9.0.31/32");
  EXPECT_EQ(net("10.0.0.0/8").at(65535).address(), "10.0.255.255");
  EXPECT_EQ(net("fd00::/64").at(258).address(), "fd00::102");
}

TEST(IpNet, HoldsWhatIsInItAndNothingOfTheOtherFamily) {
  EXPECT_TRUE(net("10.9.0.0/24").holds(net("10.9.0.255")));
  EXPECT_TRUE(net("10.9.0.7/24").holds(net("10.9.0.255")));
  EXPECT_FALSE(net("10.9.0.0/24").holds(net("10.9.1.0")));
  EXPECT_TRUE(net("0.0.0.0/0").holds(net("10.9.1.0")));
  EXPECT_FALSE(net("::/0").holds(net("10.9.1.0")));
  EXPECT_TRUE(net("fd00::/120").holds(net("fd00::ff")));
  EXPECT_FALSE(net("fd00::/120").holds(net("fd00::100")));
}

// NR-ADDRESS.
TEST(IpNet, KnowsWhatNoHostMayHave) {
  for (const auto* text :
       {"10.9.0.0/24", "10.9.0.255/24", "10.9.0.16/30", "10.9.0.19/30", "fd00::/64"})
    EXPECT_TRUE(net(text).is_reserved()) << text;
  for (const auto* text : {"10.9.0.1/24", "10.9.0.16/24", "10.9.0.16/31", "10.9.0.17/31",
                           "10.9.0.16/32", "fd00::ff/120", "fd00::/127", "fd00::/128"})
    EXPECT_FALSE(net(text).is_reserved()) << text;
}

}  // namespace
}  // namespace userns
