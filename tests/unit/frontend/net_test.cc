#include "frontend/spec/net.h"

#include <sys/socket.h>

#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;

TEST(Net, TakesTheWords) {
  EXPECT_TRUE(std::holds_alternative<NetNone>(*parse_net("none")));
  EXPECT_TRUE(std::holds_alternative<NetHost>(*parse_net("host")));
  EXPECT_TRUE(std::holds_alternative<NetUser>(*parse_net("user")));
  EXPECT_TRUE(std::holds_alternative<NetAuto>(*parse_net("auto")));
}

TEST(Net, TakesABridgeWithEverything) {
  const auto net = parse_net(
      "bridge=br0,name=lan0,address=10.0.0.2/24,address=fd00::2/"
      "64,gateway=10.0.0.1,gateway=fd00::1,mac=02:00:5E:00:00:01,mtu=1400");
  ASSERT_TRUE(net) << text_of(net);
  const auto& nic = std::get<NetBridges>(*net).nics.front();
  EXPECT_EQ(nic.bridge, "br0");
  EXPECT_EQ(nic.name, "lan0");
  EXPECT_EQ(nic.mac, "02:00:5e:00:00:01");
  EXPECT_EQ(nic.mtu, 1400U);
  ASSERT_EQ(nic.addresses.size(), 2U);
  EXPECT_TRUE(to_text(nic.addresses[0].address) == "10.0.0.2" && nic.addresses[0].prefix == 24);
  EXPECT_TRUE(nic.addresses[1].address.family == AF_INET6 && nic.addresses[1].prefix == 64);
  EXPECT_EQ(to_text(nic.gateways.at(1)), "fd00::1");
}

TEST(Net, SaysWhatIsWrong) {
  for (const auto& [text, says] :
       {std::pair{"", "none, host, user, user=NAME, auto or bridge="},
        {"bridged", "is possible"},
        {"bridge=", "'' is not a name of a bridge"},
        {"bridge=a/b", "'a/b' is not a name of a bridge"},
        {"bridge=br0,bridge=br1", "bridge= is given twice"},
        {"bridge=br0,name=eth%d", "is not an interface name"},
        {"bridge=br0,address=10.0.0.2", "prefix"},
        {"bridge=br0,address=10.0.0.2/33", "prefix"},
        {"bridge=br0,address=fd00::1/129", "prefix"},
        {"bridge=br0,address=10.0.0/24", "'10.0.0' is not an IP address"},
        {"bridge=br0,gateway=gw", "is not an IP address"},
        {"bridge=br0,mac=02:00", "not a MAC address"},
        {"bridge=br0,mtu=67", "68 to 65535"},
        {"bridge=br0,,mtu=1400", "'' is not a setting"},
        {"bridge=br0,vlan=3", "'vlan' is not a setting"}})
    EXPECT_TRUE(contains(text_of(parse_net(text)), says)) << text;
}

TEST(Net, OnlyBridgesAddUp) {
  std::optional<NetWish> all;
  EXPECT_TRUE(add_net(all, *parse_net("bridge=br0")));
  EXPECT_TRUE(add_net(all, *parse_net("bridge=br1")));
  EXPECT_FALSE(add_net(all, *parse_net("user")));
  EXPECT_FALSE(add_net(all, *parse_net("none")));
  std::optional<NetWish> user = *parse_net("user");
  EXPECT_FALSE(add_net(user, *parse_net("user")));
  EXPECT_FALSE(add_net(user, *parse_net("bridge=br0")));
}

TEST(Net, NamesAreFilledInAroundThoseThatAreGiven) {
  NetBridges bridges{{{.bridge = "a"},
                      {.bridge = "b", .name = "eth0"},
                      {.bridge = "c"},
                      {.bridge = "d", .name = "lan"}}};
  ASSERT_TRUE(name_nics(bridges));
  EXPECT_EQ(bridges.nics[0].name, "eth1");
  EXPECT_EQ(bridges.nics[2].name, "eth2");
  NetBridges twice{{{.bridge = "a", .name = "x"}, {.bridge = "b", .name = "x"}}};
  EXPECT_TRUE(contains(text_of(name_nics(twice)), "two NICs have the name x"));
}

TEST(Publish, TakesPortsAndAProtocol) {
  const auto web = parse_publish("8080:80");
  ASSERT_TRUE(web) << text_of(web);
  EXPECT_TRUE(web->host == 8080 && web->container == 80 && !web->udp);
  EXPECT_TRUE(parse_publish("53:53/udp")->udp);
  EXPECT_FALSE(parse_publish("1:65535/tcp")->udp);
  EXPECT_EQ(to_text(*parse_publish("8080:80")), "tcp 8080 -> 80");
  EXPECT_EQ(to_text(*parse_publish("localhost:8080:80/udp")), "udp 127.0.0.1:8080 -> 80");
  EXPECT_EQ(to_text(*parse_publish("192.0.2.7:1:2")), "tcp 192.0.2.7:1 -> 2");
  EXPECT_EQ(to_text(*parse_publish("[2001:db8::1]:1:2")), "tcp [2001:db8::1]:1 -> 2");
  for (const auto* text : {"",
                           "80",
                           "80:",
                           ":80",
                           "0:80",
                           "80:0",
                           "65536:1",
                           "1:65536",
                           "80:80/sctp",
                           "80:80:80",
                           "-1:80",
                           "080:80",
                           "localhost:80",
                           "::1:80:80",
                           "[::1]80:80",
                           "[::1:80:80",
                           "[]:80:80",
                           "1.2.3:80:80",
                           "[127.0.0.1]:x:80",
                           "host:80:80",
                           "1.2.3.4:80:80:80"})
    EXPECT_FALSE(parse_publish(text)) << text;
}

TEST(Net, AUsersNetworkHasAName) {
  const auto lab = parse_net("user=lab.1");
  ASSERT_TRUE(lab);
  EXPECT_EQ(std::get<NetUser>(*lab).network, "lab.1");
  EXPECT_TRUE(std::get<NetUser>(*parse_net("user")).network.empty());
  for (const auto* bad : {"user=", "user=.a", "user=-a", "user=a/b", "user=a b", "user=a,b",
                          "user=a=b", "user=\x1b", "user=abcdefghijklmnopqrstuvwxyz0123456"})
    EXPECT_FALSE(parse_net(bad)) << bad;
}

}  // namespace
}  // namespace userns::frontend
