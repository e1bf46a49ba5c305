#include "policy/net_conf.h"

#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::contains;
using test::rule_of;
using test::text_of;

Result<std::vector<NetLine>> parse(std::string_view text) {
  return parse_net_conf("net.conf", text);
}

TEST(NetConf, TakesAFileOfLxcUsernetUnchanged) {
  const auto lines = parse(
      "# USERNAME TYPE BRIDGE COUNT\n\nalice veth lxcbr0 10\n@students\tveth br-lab 1\n  bob veth "
      "br0 0");
  ASSERT_TRUE(lines) << text_of(lines);
  ASSERT_EQ(lines->size(), 3U);
  EXPECT_EQ((*lines)[0].who, "alice");
  EXPECT_EQ((*lines)[0].bridge, "lxcbr0");
  EXPECT_EQ((*lines)[0].count, 10U);
  EXPECT_EQ((*lines)[1].who, "@students");
  EXPECT_EQ((*lines)[2].count, 0U);
  const NetTerms& terms = (*lines)[0].terms;
  EXPECT_TRUE(terms.mtu == 0 && terms.vlan == 0 && !terms.isolated && !terms.spoof &&
              !terms.any_mac);
}

TEST(NetConf, TakesEverySettingInAnyOrder) {
  const auto lines = parse(
      "* veth br0 1 vlan=4094 spoof=allow mtu=68 mac=any isolated=yes # and a comment\n"
      "* veth br0 1 isolated=no spoof=deny mac=own mtu=65535 vlan=1\n");
  ASSERT_TRUE(lines) << text_of(lines);
  const NetTerms &all = (*lines)[0].terms, &none = (*lines)[1].terms;
  EXPECT_TRUE(all.mtu == 68 && all.vlan == 4094 && all.isolated && all.spoof && all.any_mac);
  EXPECT_TRUE(none.mtu == 65535 && none.vlan == 1 && !none.isolated && !none.spoof &&
              !none.any_mac);
}

TEST(NetConf, CountsNoMoreThanABridgeHasPorts) {
  EXPECT_EQ(parse("a veth b 1023")->front().count, 1023U);
  EXPECT_EQ(parse("a veth b 1024")->front().count, 1023U);
  EXPECT_EQ(parse("a veth b 18446744073709551615")->front().count, 1023U);
}

TEST(NetConf, AnEmptyFileGrantsNothing) {
  for (const auto* text : {"", "\n", "# only\n   # comments", " \t \n"})
    EXPECT_TRUE(parse(text) && parse(text)->empty()) << text;
}

TEST(NetConf, TakesAddressesOfBothFamiliesIPv4First) {
  const auto lines = parse(
      "a veth br0 1 dns=fd00::1 gateway=10.9.0.1/24,fd00::1 ip=fd00::/120,10.9.0.16/28\n"
      "a veth br0 1 ip=10.9.0.7\n"
      "a veth br0 1 ip=fd00::/64\n");
  ASSERT_TRUE(lines) << text_of(lines);
  const NetTerms& both = (*lines)[0].terms;
  EXPECT_EQ(both.blocks[0].text(), "10.9.0.16/28");
  EXPECT_EQ(both.blocks[1].text(), "fd00::/120");
  EXPECT_EQ(both.addresses(), 16U);
  EXPECT_TRUE(both.gateways[0].text() == "10.9.0.1/24" && both.gateways[1].text() == "fd00::1/128");
  EXPECT_EQ(both.dns.at(0).address(), "fd00::1");
  EXPECT_EQ((*lines)[1].terms.addresses(), 1U);
  EXPECT_EQ((*lines)[2].terms.addresses(), kMostAddresses);
  EXPECT_EQ(NetTerms{}.addresses(), 0U);
}

struct Bad {
  const char *text, *says;
};
class NetConfBad : public ::testing::TestWithParam<Bad> {};
// NC-LINE: one malformed line refuses the file, and says where.
TEST_P(NetConfBad, NC_LINE_TellsLineAndColumn) {
  const auto lines = parse(GetParam().text);
  EXPECT_EQ(rule_of(lines), "NC-LINE") << GetParam().text;
  EXPECT_TRUE(contains(text_of(lines), GetParam().says));
}
INSTANTIATE_TEST_SUITE_P(
    Table, NetConfBad,
    ::testing::Values(
        Bad{"alice", "net.conf:1:6: the type is ''"},
        Bad{"alice phys br0 1", "net.conf:1:7: the type is 'phys'"},
        Bad{"a veth br0 1\n\n@ veth br0 1", "net.conf:3:1: '@' needs"},
        Bad{"a veth", "net.conf:1:7: '' is not a name"},
        Bad{"a veth br/0 1", "net.conf:1:8: 'br/0'"}, Bad{"a veth br%d 1", "1:8"},
        Bad{"a veth sixteencharacter 1", "1:8"},
        Bad{"a veth br0", "net.conf:1:11: the count '' is empty"},
        Bad{"a veth br0 -1", "net.conf:1:12: the count '-1' has a sign"},
        Bad{"a veth br0 010", "octal"}, Bad{"a veth br0 0x1", "hexadecimal"},
        Bad{"a veth br0 18446744073709551616", "too large"},
        Bad{"a veth br0 1 mtu", "net.conf:1:14: 'mtu' is not a setting"},
        Bad{"a veth br0 1 MTU=1400", "is not a setting"}, Bad{"a veth br0 1 =", "is not a setting"},
        Bad{"a veth br0 1 mtu=67", "mtu='67' is not 68 to 65535"},
        Bad{"a veth br0 1 mtu=65536", "mtu="}, Bad{"a veth br0 1 mtu=65604", "mtu="},
        Bad{"a veth br0 1 mtu=", "mtu="}, Bad{"a veth br0 1 vlan=0", "vlan='0' is not 1 to 4094"},
        Bad{"a veth br0 1 vlan=4095", "vlan="}, Bad{"a veth br0 1 isolated=true", "yes or no"},
        Bad{"a veth br0 1 spoof=yes", "allow or deny"}, Bad{"a veth br0 1 mac=all", "any or own"},
        Bad{"a veth br0 1 mtu=1400 mtu=1400", "1:23: mtu= is given twice"},
        Bad{"a veth br0 1 isolated=no isolated=yes", "given twice"},
        Bad{"a veth br0 1\r\n", "net.conf:1:13: a control character"},
        Bad{"a veth br0 1\n\x1b[2J", "net.conf:2:1: a control character"},
        Bad{"a veth br0 1 # \x7f", "control"},
        Bad{"a veth br0 1 spoof=allow,mtu=9000", "allow or deny"},
        Bad{"a veth br0 1 ip=10.9.0.17/28", "1:14: ip='10.9.0.17/28' is not a block"},
        Bad{"a veth br0 1 ip=10.9.0.0/28,10.9.1.0/28", "is not a block"},
        Bad{"a veth br0 1 ip=", "is not a block"}, Bad{"a veth br0 1 ip=,", "is not a block"},
        Bad{"a veth br0 1 ip=10.9.0.0/28,", "is not a block"},
        Bad{"a veth br0 1 gateway=10.9.0.1,10.9.0.2,10.9.0.3", "one or two"},
        Bad{"a veth br0 1 dns=1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4", "one to three"},
        Bad{"a veth br0 1 ip=10.9.0.0/28 spoof=allow", "1:8: ip= goes with"},
        Bad{"a veth br0 1 mac=any ip=10.9.0.0/28", "ip= goes with"}));

// What NR-NAME takes for a name.
TEST(NetConf, InterfaceNamesAreStricterThanTheKernels) {
  for (const auto* good : {"eth0", "a", "br-lab", "x.y_z", "fifteen_chars_x", "0"})
    EXPECT_TRUE(is_interface_name(good)) << good;
  for (const auto* bad : {"", ".", "..", "-x", ".x", "a/b", "a:b", "eth%d", "a b", "a\tb",
                          "sixteen_chars_xx", "\xc3\xa4", "a\nb", "a\"", "a\\", "a'"})
    EXPECT_FALSE(is_interface_name(bad)) << bad;
  EXPECT_FALSE(is_interface_name(std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace userns
