#include "policy/net_rules.h"

#include <algorithm>
#include <initializer_list>
#include <random>
#include <set>

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::contains;
using test::rule_of;
using test::text_of;

using Words = std::vector<std::string_view>;
Result<NetRequest> request(const Words& words) { return parse_net_request(words); }
NetRequest add_to_br0() { return *request({"add", "--netns", "fd:3", "--bridge", "br0"}); }

NetFacts good_facts() {
  return {.caller = Uid{1000},
          .netns_is_ours = false,
          .netns_owner = Uid{1000},
          .bridge =
              BridgeFacts{
                  .index = 7, .is_bridge = true, .up = true, .filters_vlans = false, .mtu = 1500},
          .has_guard = true,
          .lines = {{.who = "alice", .bridge = "br0", .count = 2, .terms = {}}}};
}

// --- requests ---------------------------------------------------------------------------------

TEST(NetRequest, TakesTheWordsOfTheManual) {
  const auto add = request({"add", "--name", "eth5", "--netns", "pidfd:9", "--bridge", "br0",
                            "--mac", "02:00:5e:10:00:FF", "--container", "web.1"});
  ASSERT_TRUE(add) << text_of(add);
  EXPECT_TRUE(add->netns.kind == Target::Kind::kPidfd && add->netns.number == 9 &&
              add->name == "eth5" && add->container == "web.1");
  EXPECT_EQ(add->mac->text(), "02:00:5e:10:00:ff");
  const auto gone = request({"del", "u0000G900000200"});
  EXPECT_TRUE(gone && gone->verb == NetRequest::Verb::kDelete && gone->name == "u0000G900000200");
}

// NR-DEL.
TEST(MayDelete, IsForTheOwnerAndForRoot) {
  const auto name = Slot{Uid{1000}, 7, 0}.name();
  EXPECT_TRUE(may_delete(name, "veth", Uid{1000}) && may_delete(name, "veth", Uid{0}));
  EXPECT_TRUE(may_delete(name, "", Uid{1000})) << "gone already";
  EXPECT_EQ(rule_of(may_delete(name, "veth", Uid{1001})), "NR-DEL");
  EXPECT_EQ(rule_of(may_delete(name, "", Uid{1001})), "NR-DEL");
  EXPECT_EQ(rule_of(may_delete(name, "tun", Uid{1000})), "NR-DEL") << "a name by chance";
  for (const std::string_view other : {"br0", "lo", "", "u0000G90000020"})
    for (const auto uid : {Uid{0}, Uid{1000}})
      EXPECT_EQ(rule_of(may_delete(other, "veth", uid)), "NR-DEL") << other;
}

TEST(NetRequest, NR_ARGS_RefusesWhatIsNotOfTheGrammar) {
  for (const auto& words :
       {Words{}, Words{"add"}, Words{"add", "--netns", "fd:3"}, Words{"add", "--bridge", "br0"},
        Words{"add", "--netns", "fd:3", "--bridge"},
        Words{"add", "--netns", "fd:3", "--bridge", "br0", "extra"},
        Words{"add", "--netns", "fd:3", "--netns", "fd:3", "--bridge", "br0"},
        Words{"add", "--netns", "", "--bridge", "br0"},
        Words{"add", "--netns=fd:3", "--bridge", "br0"}, Words{"list"},
        Words{"create", "p", "n", "1", "veth", "br0"}, Words{"del"}, Words{"del", ""},
        Words{"del", "a", "b"}, Words{"ADD"}})
    EXPECT_EQ(rule_of(request(words)), "NR-ARGS") << (words.empty() ? "" : words.back());
}

TEST(NetRequest, NR_NAME_RefusesHostileNames) {
  for (const std::string_view name :
       {"eth%d", "../x", ".", "a/b", "a b", "0123456789abcdef", "a\nb", "\x1b[31m"}) {
    EXPECT_EQ(rule_of(request({"add", "--netns", "fd:3", "--bridge", "br0", "--name", name})),
              "NR-NAME")
        << name;
    EXPECT_EQ(rule_of(request({"add", "--netns", "fd:3", "--bridge", name})), "NR-NAME") << name;
    EXPECT_EQ(rule_of(request({"del", name})), "NR-NAME") << name;
  }
  for (const std::string_view container : {"a b", "a\"", "uid=0 ", "x\n"})
    EXPECT_EQ(
        rule_of(request({"add", "--netns", "fd:3", "--bridge", "br0", "--container", container})),
        "NR-NAME");
  EXPECT_EQ(rule_of(request({"add", "--netns", "fd:3", "--bridge", "br0", "--container",
                             std::string(65, 'x')})),
            "NR-NAME");
}

TEST(NetRequest, NR_TARGET_RefusesOddNamespaces) {
  for (const std::string_view text : {"", "fd", "fd:", "fd:-1", "fd:03", "pid:0", "pid:1x",
                                      "pid:99999999999", "tid:1", "1", "/proc/1/ns/net", "FD:3"})
    EXPECT_EQ(rule_of(parse_netns(text)), "NR-TARGET") << text;
  EXPECT_TRUE(parse_netns("fd:0") && parse_netns("pid:1") && parse_netns("pidfd:2147483647"));
}

TEST(NetRequest, NR_MAC_TakesAddressesOfOneInterfaceOnly) {
  for (const auto* good : {"02:00:5e:10:00:ff", "00:16:3e:AB:cd:EF"})
    EXPECT_TRUE(Mac::parse(good)) << good;
  for (const auto* bad :
       {"", "02:00:5e:10:00", "02:00:5e:10:00:ff:", "02:00:5e:10:00:ff:00", "2:0:5e:10:0:ff",
        "02-00-5e-10-00-ff", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:80:c2:00:00:00",
        "02:00:5e:10:00:fg", "02:00:5e:10:00:+f", "02:00:5e:10:00: f", "0x:00:5e:10:00:ff"})
    EXPECT_EQ(rule_of(Mac::parse(bad)), "NR-MAC") << bad;
}

// --- slots ------------------------------------------------------------------------------------

TEST(Slot, NamesAndBackAtTheBoundaries) {
  for (const std::uint32_t uid : {0U, 1U, 1000U, 0x7fffffffU, 0x80000000U, 0xfffffffeU})
    for (const std::uint32_t bridge : {1U, 2U, 61U, 62U, 0x7fffffffU})
      for (const std::uint32_t number : {0U, 1U, 61U, 62U, kMostPorts}) {
        const auto name = Slot{Uid{uid}, bridge, number}.name();
        ASSERT_TRUE(is_interface_name(name)) << name;
        const auto back = Slot::from_name(name);
        ASSERT_TRUE(back && back->owner == Uid{uid} && back->bridge == bridge &&
                    back->number == number)
            << name;
      }
}

TEST(Slot, NoTwoOwnersBridgesOrNumbersShareAName) {
  std::set<std::string> names;
  for (std::uint32_t uid = 60000; uid < 60040; ++uid)
    for (std::uint32_t bridge = 1; bridge < 20; ++bridge)
      for (std::uint32_t number = 0; number < 30; ++number)
        ASSERT_TRUE(names.insert(Slot{Uid{uid}, bridge, number}.name()).second);
}

TEST(Slot, KnowsForeignNames) {
  for (const auto* name :
       {"", "eth0", "vethABCDEF", "u0000G90000020", "u0000G9000002000", "v0000G900000200",
        "u0000G9-0000200", "uzzzzzz00000200", "u0000G9zzzzzz00", "u4gfFC300000200"})
    EXPECT_FALSE(Slot::from_name(name)) << name;
}

// --- rules ------------------------------------------------------------------------------------

std::size_t slots_of(const NetGrant& grant) {
  return grant.slots_to_try([](std::uint32_t) { return false; }).size();
}

TEST(NetRules, GrantWhatIsGood) {
  const auto grant = decide(good_facts(), add_to_br0());
  ASSERT_TRUE(grant) << text_of(grant);
  EXPECT_EQ(slots_of(*grant), 2U);
}

struct Break {
  const char* rule;
  void (*how)(NetFacts&, NetRequest&);
  const char* says;
};
class NetRulesBroken : public ::testing::TestWithParam<Break> {};
TEST_P(NetRulesBroken, RefusesNamingTheRule) {
  auto facts = good_facts();
  auto wish = add_to_br0();
  GetParam().how(facts, wish);
  const auto grant = decide(facts, wish);
  EXPECT_EQ(rule_of(grant), GetParam().rule);
  EXPECT_TRUE(contains(text_of(grant), GetParam().says));
}
INSTANTIATE_TEST_SUITE_P(
    Table, NetRulesBroken,
    ::testing::Values(
        Break{"NR-HOST", [](NetFacts& f, NetRequest&) { f.netns_is_ours = true; },
              "that this program runs in"},
        Break{"NR-OWNER", [](NetFacts& f, NetRequest&) { f.netns_owner = Uid{1001}; },
              "belongs to uid 1001"},
        Break{"NR-OWNER", [](NetFacts& f, NetRequest&) { f.netns_owner = Uid{0}; },
              "belongs to uid 0"},
        Break{"NR-POLICY", [](NetFacts& f, NetRequest&) { f.lines.clear(); },
              "no line of net.conf"},
        Break{"NR-POLICY",
              [](NetFacts& f, NetRequest&) { f.lines[0].who = "*", f.lines[0].count = 0; },
              "ask the administrator for one"},
        Break{"NR-POLICY",
              [](NetFacts& f, NetRequest&) {
                f.lines.push_back({.who = "@out", .bridge = "br0", .count = 0, .terms = {}});
              },
              "count of 0 bans uid 1000 from br0"},
        // Whoever has no grant is not told what the bridge is.
        Break{"NR-POLICY", [](NetFacts& f, NetRequest&) { f.lines.clear(), f.bridge.reset(); },
              "no line"},
        Break{"NR-BRIDGE", [](NetFacts& f, NetRequest&) { f.bridge.reset(); }, "does not exist"},
        Break{"NR-BRIDGE", [](NetFacts& f, NetRequest&) { f.bridge->is_bridge = false; },
              "is not a bridge"},
        Break{"NR-BRIDGE", [](NetFacts& f, NetRequest&) { f.bridge->up = false; }, "is down"},
        Break{"NR-VLAN", [](NetFacts& f, NetRequest&) { f.lines[0].terms.vlan = 30; },
              "does not filter VLANs"},
        Break{"NR-MTU", [](NetFacts& f, NetRequest&) { f.lines[0].terms.mtu = 1501; },
              "above the bridge's own 1500"},
        Break{"NR-MAC", [](NetFacts&, NetRequest& r) { r.mac = *Mac::parse("02:00:00:00:00:01"); },
              "mac=any"}));

TEST(NetRules, AChosenMacNeedsALineThatAllowsIt) {
  auto facts = good_facts();
  auto wish = add_to_br0();
  wish.mac = *Mac::parse("02:00:00:00:00:01");
  facts.lines[0].terms.any_mac = true;
  EXPECT_TRUE(decide(facts, wish));
  facts.lines[0].terms = {.spoof = true};
  EXPECT_TRUE(decide(facts, wish));
  // A slot of any of the lines may be the one that is free.
  facts.lines.push_back({.who = "*", .bridge = "br0", .count = 1, .terms = {}});
  EXPECT_EQ(rule_of(decide(facts, wish)), "NR-MAC");
}

TEST(NetRules, LinesAddUpInTheirOrderEachWithItsTerms) {
  auto facts = good_facts();
  facts.lines = {
      {.who = "alice", .bridge = "br0", .count = 2, .terms = {}},
      {.who = "*", .bridge = "br0", .count = 0, .terms = {.mtu = 1}},
      {.who = "*", .bridge = "br0", .count = 1, .terms = {.mtu = 1400, .isolated = true}}};
  const auto grant = decide(facts, add_to_br0());
  ASSERT_TRUE(grant) << text_of(grant);
  EXPECT_EQ(slots_of(*grant), 3U);
  EXPECT_EQ(grant->terms(1).mtu, 0);
  EXPECT_TRUE(grant->terms(2).mtu == 1400 && grant->terms(2).isolated);
  facts.lines[0].count = facts.lines[2].count = kMostPorts;
  EXPECT_EQ(slots_of(*decide(facts, add_to_br0())), kMostPorts);
}

NetGrant grant_of(std::initializer_list<std::uint32_t> counts) {
  auto facts = good_facts();
  facts.lines.clear();
  for (const auto count : counts)
    facts.lines.push_back({.who = "*", .bridge = "br0", .count = count, .terms = {}});
  return *decide(facts, add_to_br0());
}

TEST(NetRules, NR_QUOTA_AThousandSlotsTakenInOrderCostTenQuestions) {
  const auto grant = grant_of({1000});
  for (const std::uint32_t used : {0U, 1U, 500U, 998U, 999U}) {
    unsigned asked = 0;
    const auto order = grant.slots_to_try([&](std::uint32_t slot) { return ++asked, slot < used; });
    EXPECT_EQ(order.front(), used);
    EXPECT_LE(asked, 10U) << used;
  }
}

TEST(NetRules, NR_QUOTA_EachSlotOfTheQuotaIsTriedOnceHoweverTheyAreTaken) {
  using Taken = bool (*)(std::uint32_t);
  for (const Taken taken : std::initializer_list<Taken>{
           [](std::uint32_t) { return true; }, [](std::uint32_t) { return false; },
           [](std::uint32_t slot) { return slot != 1; },
           [](std::uint32_t slot) { return slot % 3 == 0; }}) {
    auto order = grant_of({5, 0, 2}).slots_to_try(taken);
    ASSERT_EQ(order.size(), 7U);
    // One line after the other: the first one's are the first five.
    std::ranges::sort(order.begin(), order.begin() + 5);
    std::ranges::sort(order.begin() + 5, order.end());
    for (std::uint32_t i = 0; i < 7; ++i) EXPECT_EQ(order[i], i);
  }
  EXPECT_EQ(grant_of({1000, 1000}).slots_to_try([](std::uint32_t) { return true; }).size(),
            kMostPorts);
}

// --- MAC addresses ----------------------------------------------------------------------------

std::string mac_of(std::uint32_t uid, std::string_view container, std::string_view host = "host-a",
                   std::string_view name = "eth0", std::uint32_t slot = 0, std::uint32_t salt = 0) {
  auto facts = good_facts();
  facts.caller = facts.netns_owner = Uid{uid};
  facts.lines.front().count = kMostPorts;
  auto wish = add_to_br0();
  wish.container = container;
  return decide(facts, wish)->mac(host, name, slot, salt).text();
}

TEST(NetMac, IsStableLocalAndOfOneInterface) {
  EXPECT_EQ(mac_of(1000, "web"), mac_of(1000, "web"));
  EXPECT_EQ(mac_of(1000, "web", "h", "eth0", 0), mac_of(1000, "web", "h", "eth0", 1))
      << "a named container keeps it in any slot";
  for (std::uint32_t uid = 0; uid < 2000; ++uid) {
    const auto first = Mac::parse(mac_of(uid, "web"));
    ASSERT_TRUE(first) << text_of(first);
    ASSERT_EQ(first->bytes[0] & 3U, 2U) << "locally administered, unicast";
  }
}

TEST(NetMac, DiffersByTheSaltOfItsLine) {
  auto facts = good_facts();
  const auto mac = [&](std::string_view salt) {
    facts.lines.front().terms.salt = salt;
    return decide(facts, add_to_br0())->mac("host-a", "eth0", 0, 0).text();
  };
  EXPECT_NE(mac(""), mac("a"));
  EXPECT_NE(mac("a"), mac("b"));
  EXPECT_EQ(mac("a"), mac("a"));
}

TEST(Slot, CountsByTheNameOfTheBridge) {
  EXPECT_NE(bridge_number("br0"), bridge_number("br1"));
  auto facts = good_facts();
  const auto before = decide(facts, add_to_br0())->slot(0).name();
  facts.bridge->index += 7;  // made anew
  EXPECT_EQ(decide(facts, add_to_br0())->slot(0).name(), before);
}

TEST(NetMac, DiffersByHostNameAndSlot) {
  EXPECT_NE(mac_of(1000, "web", "host-a"), mac_of(1000, "web", "host-b"));
  EXPECT_NE(mac_of(1000, "web", "h", "eth0"), mac_of(1000, "web", "h", "eth1"));
  EXPECT_NE(mac_of(1000, "web"), mac_of(1000, "db"));
  EXPECT_NE(mac_of(1000, "web", "h", "eth0", 0, 0), mac_of(1000, "web", "h", "eth0", 0, 1));
  std::set<std::string> unnamed;
  for (std::uint32_t slot = 0; slot < kMostPorts; ++slot)
    ASSERT_TRUE(unnamed.insert(mac_of(1000, "", "h", "eth0", slot)).second);
}

// The attack: choosing container names until the address is a neighbour's.
TEST(NetMac, NoChoiceOfNamesMakesAnotherUsersAddress) {
  std::set<std::string> of_alice, of_bob;
  std::mt19937 random(7);  // NOLINT: the same cases each time
  for (int i = 0; i < 20000; ++i) {
    const auto name = concat("n", random());
    of_alice.insert(mac_of(70001, name));
    of_bob.insert(mac_of(70002, name));
  }
  for (const auto& mac : of_bob) ASSERT_FALSE(of_alice.contains(mac)) << mac;
}

// NR-GUARD.
TEST(NetRules, NR_GUARD_LinesThatNeedTheGuardGiveNothingWithoutIt) {
  const auto may = [](const char* settings, bool has_guard) {
    auto facts = good_facts();
    const auto text = concat("a veth br0 1\na veth br0 1 ", settings);
    facts.lines = *parse_net_conf("", text);
    facts.has_guard = has_guard;
    return rule_of(decide(facts, add_to_br0()));
  };
  for (const auto* settings : {"ip=10.9.0.0/28", "guard=yes", "group=7 rate=1mbit"}) {
    EXPECT_EQ(may(settings, false), "NR-GUARD") << settings;
    EXPECT_EQ(may(settings, true), "granted") << settings;
  }
  for (const auto* settings : {"", "guard=no", "ip=10.9.0.0/28 guard=no", "spoof=allow", "macs=2"})
    EXPECT_EQ(may(settings, false), "granted") << settings;
}

TEST(NetRules, PortsThatTheGuardTreatsInAnotherWayHaveAGroup) {
  const auto group = [](const char* settings) {
    return parse_net_conf("", concat("a veth br0 1 ", settings))->front().terms.port_group();
  };
  EXPECT_EQ(group("ip=10.9.0.0/28"), 0U);
  EXPECT_EQ(group("guard=no"), kUnguardedGroup);
  EXPECT_EQ(group("spoof=allow"), kSpoofingGroup);
  EXPECT_EQ(group("spoof=allow guard=no group=7"), 7U);
}

// --- addresses --------------------------------------------------------------------------------

NetGrant grant_of(const char* settings, std::string_view container = "web") {
  static std::string text;  // what the lines view
  text = concat("alice veth br0 4 ", settings);
  auto facts = good_facts();
  facts.lines = *parse_net_conf("", text);
  auto wish = add_to_br0();
  wish.container = container;
  return *decide(facts, wish);
}

// NR-ADDRESS.
TEST(NetAddress, NR_ADDRESS_EveryPlaceIsTriedOnceFromOneThatStaysTheSame) {
  const auto grant = grant_of("ip=10.9.0.0/24");
  std::set<std::uint32_t> places;
  for (std::uint32_t turn = 0; turn < 256; ++turn) places.insert(grant.place("eth0", 0, turn));
  EXPECT_TRUE(places.size() == 256 && *places.rbegin() == 255);
  EXPECT_EQ(grant.place("eth0", 0, 0), grant.place("eth0", 3, 0)) << "the slot has no say";
  EXPECT_NE(grant.place("eth0", 0, 0), grant.place("eth1", 0, 0));
  const auto unnamed = grant_of("ip=10.9.0.0/24", "");
  EXPECT_NE(unnamed.place("eth0", 0, 0), unnamed.place("eth0", 1, 0));
  EXPECT_EQ(grant_of("ip=10.9.0.5").place("eth0", 0, 7), 0U);
}

TEST(NetAddress, HasTheLengthOfTheGatewaysNetworkElseOfItsBlocks) {
  const auto one = [](const char* settings) { return grant_of(settings).addresses(0, 1).at(0); };
  EXPECT_EQ(one("ip=10.9.0.16/28 gateway=10.9.0.1/24").text(), "10.9.0.17/24");
  EXPECT_EQ(one("ip=10.9.0.16/28 gateway=10.9.0.30").text(), "10.9.0.17/28");
  EXPECT_EQ(one("ip=10.9.0.16/28 gateway=10.8.0.1/24").text(), "10.9.0.17/28");
  EXPECT_EQ(one("ip=fd00::/120 gateway=10.9.0.1/24,fd00::ff/64").text(), "fd00::1/64");
}

TEST(NetAddress, NR_ADDRESS_NoneIsTheNetworksTheGatewaysTheServersOrTheBridges) {
  auto facts = good_facts();
  const std::string text = "a veth br0 9 ip=10.9.0.0/29 gateway=10.9.0.1 dns=10.9.0.2,10.9.0.4";
  facts.lines = *parse_net_conf("", text);
  facts.bridge->addresses = {*IpNet::parse("10.9.0.6/29"), *IpNet::parse("fe80::1/64")};
  const auto grant = *decide(facts, add_to_br0());
  for (const std::uint32_t place : {0U, 1U, 2U, 4U, 6U, 7U})
    EXPECT_TRUE(grant.addresses(0, place).empty()) << place;
  for (const std::uint32_t place : {3U, 5U}) EXPECT_EQ(grant.addresses(0, place).size(), 1U);
}

TEST(NetAddress, MakesAMacThatNoOtherNicHas) {
  const auto mac = [](const char* settings, std::uint32_t place) {
    return Mac::of_address(grant_of(settings).terms(0), place);
  };
  EXPECT_EQ(mac("ip=10.9.0.16/28", 3).text(), "56:75:0a:09:00:13");
  EXPECT_EQ(mac("ip=fd00::/120,10.9.0.16/28", 3).text(), "56:75:0a:09:00:13");
  EXPECT_NE(mac("ip=fd00:1::/120", 3), mac("ip=fd00:2::/120", 3));
  EXPECT_TRUE(mac("ip=fd00:1::/120", 3).text().starts_with("56:74:"));
  auto facts = good_facts();
  facts.lines[0].terms.any_mac = true;
  auto wish = add_to_br0();
  wish.mac = *Mac::parse("56:75:0a:09:00:13");
  EXPECT_EQ(rule_of(decide(facts, wish)), "NR-MAC");
  for (int host = 0; host < 1 << 16; ++host)
    ASSERT_FALSE(Mac::parse(mac_of(1000, "web", concat(host)))->is_of_address()) << host;
}

}  // namespace
}  // namespace userns
