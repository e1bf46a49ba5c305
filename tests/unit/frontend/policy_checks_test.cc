#include "frontend/policy_tool/check/checks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "frontend/policy_tool/check/ids_conf.h"
#include "frontend/policy_tool/check/login_defs.h"
#include "frontend/policy_tool/check/vetted_ids.h"
#include "frontend/policy_tool/check_around.h"
#include "frontend/policy_tool/directory.h"
#include "frontend/policy_tool/host_facts.h"
#include "policy/cgroup_conf.h"
#include "policy/net_conf.h"
#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;

// A host with users alice (1000), bob (1001) and many (1002), groups of the same ids, "full" and
// "empty".
HostFacts host() {
  HostFacts facts;
  facts.uids.taken = {
      {"root", 0, 0}, {"alice", 1000, 1000}, {"bob", 1001, 1001}, {"far", 300000, 1000}};
  facts.gids.taken = {{"root", 0, 0}, {"alice", 1000, 0}, {"bob", 1001, 0}, {"full", 300100, 0}};
  for (auto* const ids : {&facts.uids, &facts.gids}) {
    ids->reserved.push_back({*IdRange::make(0, 1000), Severity::kError, "system-ids", "system"});
    ids->reserved.push_back(
        {*IdRange::make(1000, 59001), Severity::kWarning, "account-range", "accounts"});
    ids->reserved.push_back(
        {*IdRange::make(61184, 4336), Severity::kWarning, "dynamic-range", "services"});
    ids->reserved.push_back(
        {*IdRange::make(800000, 1000), Severity::kError, "directory-range", "sssd"});
    ids->delegable_name = "SUB_UID_MIN to SUB_UID_MAX";
  }
  facts.user_by_name = [users = facts.uids.taken](std::string_view name) -> std::optional<Account> {
    const auto found =
        std::ranges::find(users, name, [](const Account& a) { return std::string_view(a.name); });
    return found == users.end() ? std::nullopt : std::optional(*found);
  };
  facts.user_by_uid = [users = facts.uids.taken](std::uint32_t uid) -> std::optional<Account> {
    const auto found = std::ranges::find(users, uid, &Account::id);
    return found == users.end() ? std::nullopt : std::optional(*found);
  };
  facts.group_by_name = [](std::string_view name) -> std::optional<GroupFacts> {
    if (name == "full") return GroupFacts{300100, true};
    return name == "empty" ? std::optional(GroupFacts{2000, false}) : std::nullopt;
  };
  facts.machine.emplace();
  auto& machine = *facts.machine;
  machine.interfaces["br0"] = {
      .index = 3, .is_bridge = true, .up = true, .filters_vlans = false, .mtu = 1500};
  machine.interfaces["brv"] = {
      .index = 4, .is_bridge = true, .up = true, .filters_vlans = true, .mtu = 1500};
  machine.interfaces["down"] = {
      .index = 5, .is_bridge = true, .up = false, .filters_vlans = false, .mtu = 1500};
  machine.interfaces["eth0"] = {
      .index = 2, .is_bridge = false, .up = true, .filters_vlans = false, .mtu = 1500};
  machine.memory = 4ULL << 30U, machine.swap = 1ULL << 30U, machine.cpus = 4, machine.pids = 32768;
  machine.hugepages = {"2MB"};
  machine.has_block_device = [](std::string_view device) { return device == "8:0"; };
  machine.cgroup_base = [](const CgroupConf& conf) -> Result<CgroupBase> {
    if (conf.base == "/nope") return fail("CG-BASE", "/nope is not a cgroup");
    return CgroupBase{conf.base.empty() ? "/sys/fs/cgroup" : conf.base, "",
                      "cpu cpuset hugetlb io pids", conf.base == "/systemd" && !conf.delegated};
  };
  machine.has_cgroup = [](const CgroupBase&, std::string_view path) { return path == "/there"; };
  machine.v1_hierarchy = [](std::string_view controller, const CgroupConf&) -> Result<void> {
    return controller == "memory" ? Result<void>{} : fail("CG-CONTROLLER", "no such hierarchy");
  };
  return facts;
}

struct Row {
  PolicyFile kind;
  std::string_view text;
  // "LINE:COLUMN:ID:e" of each finding, in order.
  std::vector<std::string> found;
};

std::vector<std::string> found_in(PolicyFile kind, std::string_view text) {
  std::vector<std::string> found;
  for (const auto& f : check({kind, "FILE", std::string(text)}, host(), nullptr))
    found.push_back(
        concat(f.line, ":", f.column, ":", f.id, f.severity == Severity::kError ? ":e" : ":w"));
  return found;
}

void expect(std::span<const Row> rows) {
  for (const auto& row : rows) EXPECT_EQ(found_in(row.kind, row.text), row.found) << row.text;
}

TEST(PolicyChecks, SayNothingAboutWhatIsWell) {
  const Row rows[] = {
      {PolicyFile::kSubuid, "", {}},
      {PolicyFile::kSubuid, "# a comment\n\nalice:100000:65536\n1001:165536:65536\n", {}},
      {PolicyFile::kNet,
       "# a comment\n\n*\tveth br0 2 # all\n@full veth brv 1 vlan=3 mtu=1500\nalice veth br0 3\n",
       {}},
      {PolicyFile::kCgroup,
       "alice memory.max=4G pids.max=32768 cpu.max=400% cpuset.cpus=0-3 hugetlb.2MB.max=4M "
       "io.max=8:0,rbps=1M\n* "
       "pids.max=9\n",
       {}},
  };
  expect(rows);
}

TEST(PolicyChecks, FindWhatASubidLineIs) {
  const Row rows[] = {
      {PolicyFile::kSubuid, "alice:100000\n", {"1:1:malformed:e"}},
      {PolicyFile::kSubuid, ":100000:65536\n", {"1:1:malformed:e"}},
      {PolicyFile::kSubuid, "alice:+1:65536\n", {"1:7:malformed:e"}},
      {PolicyFile::kSubuid, "alice:100000:65 536\n", {"1:14:malformed:e"}},
      {PolicyFile::kSubuid, "alice:0303240:65536\n", {"1:7:octal:e"}},
      {PolicyFile::kSubuid, "alice:100000:0x10000\n", {"1:14:hex:e"}},
      {PolicyFile::kSubuid, "alice:0999:65536\n", {"1:7:malformed:e"}},
      {PolicyFile::kSubuid, "alice:100000:65536\r\n", {"1:19:crlf:e"}},
      {PolicyFile::kSubuid, "alice:100000:0\n", {"1:14:count-zero:e"}},
      {PolicyFile::kSubuid, "alice:4294967000:65536\n", {"1:7:malformed:e"}},
      {PolicyFile::kSubuid, "alice:100000:65536", {"1:19:no-final-newline:w"}},
  };
  expect(rows);
}

TEST(PolicyChecks, FindWhoseIdsARangeTakes) {
  const Row rows[] = {
      {PolicyFile::kSubuid, "alice:0:1\n", {"1:1:small:w", "1:7:id-zero:e", "1:7:real-user:e"}},
      {PolicyFile::kSubuid, "alice:300000:65536\n", {"1:7:real-user:e"}},
      {PolicyFile::kSubgid, "alice:300000:65536\n", {"1:7:real-group:e"}},
      {PolicyFile::kSubuid,
       "alice:900:65536\n",
       {"1:7:real-user:e", "1:7:system-ids:e", "1:7:account-range:w", "1:7:dynamic-range:w"}},
      {PolicyFile::kSubuid, "alice:790000:65536\n", {"1:7:directory-range:e"}},
      {PolicyFile::kSubuid, "alice:700000000:65536\n", {"1:7:outside-login-defs:w"}},
      {PolicyFile::kSubuid, "alice:3000000000:65536\n", {"1:7:signed:w"}},
  };
  expect(rows);
}

TEST(PolicyChecks, FindWhatLinesAreToEachOther) {
  const Row rows[] = {
      {PolicyFile::kSubuid, "alice:100000:65536\nbob:165535:65536\n", {"2:5:overlap:e"}},
      {PolicyFile::kSubuid, "bob:165535:65536\nalice:100000:65536\n", {"2:7:overlap:e"}},
      // Hidden behind a shorter one that starts later.
      {PolicyFile::kSubuid,
       "alice:100000:90000\nalice:100001:65536\nbob:189999:65536\n",
       {"2:7:overlap-own:w", "3:5:overlap:e"}},
      // By name and by uid is the same owner.
      {PolicyFile::kSubuid, "alice:100000:65536\n1000:100001:65536\n", {"2:6:overlap-own:w"}},
      {PolicyFile::kSubuid, "alice:100000:65536\nalice:100000:65536\n", {"2:1:duplicate:w"}},
      {PolicyFile::kSubuid, "alice:100000:60000\n", {"1:1:small:w"}},
      {PolicyFile::kSubuid, "alice:100000:60000\nalice:160000:5536\n", {}},
      {PolicyFile::kSubuid, "carol:100000:65536\n", {"1:1:unknown-owner:w"}},
      {PolicyFile::kSubuid, "77:100000:65536\n", {"1:1:unknown-owner:w"}},
      {PolicyFile::kNet, "alice veth br0 2\nalice  veth\tbr0 2 # again\n", {"2:1:duplicate:w"}},
      {PolicyFile::kCgroup, "alice pids.max=2\nalice pids.max=2\n", {"2:1:duplicate:w"}},
      {PolicyFile::kCgroup, "alice pids.max=2\nalice pids.max=3\n", {"2:1:unreachable:w"}},
      {PolicyFile::kCgroup, "* pids.max=2\nalice pids.max=3\n", {"2:1:unreachable:w"}},
  };
  expect(rows);
}

TEST(PolicyChecks, FindAnOwnerWithIdsOfOneKind) {
  const PolicyText uids{PolicyFile::kSubuid, "subuid", "alice:100000:65536\nbob:165536:65536\n"};
  const PolicyText gids{PolicyFile::kSubgid, "subgid", "1000:100000:65536\n"};
  const auto found = check(uids, host(), &gids);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id, "one-sided");
  EXPECT_EQ(found[0].line, 2U);
}

TEST(PolicyChecks, FindTooManyRanges) {
  std::string text;
  for (std::uint64_t i = 0; i <= OwnedRanges::kMaxSeparate; ++i)
    text += concat("alice:", 100000 + 100000 * i, ":65536\n");
  const auto found = found_in(PolicyFile::kSubuid, text);
  EXPECT_TRUE(std::ranges::find(found, "1:1:too-many:e") != found.end());
}

TEST(PolicyChecks, FindWhatANetLineIs) {
  const Row rows[] = {
      {PolicyFile::kNet,
       "alice macvlan br0 1\nalice veth br0 01\n",
       {"1:7:malformed:e", "2:16:malformed:e"}},
      {PolicyFile::kNet, "alice veth br0 1\r\n", {"1:17:crlf:e"}},
      {PolicyFile::kNet, "alice veth br0 1 colour=red\n", {"1:18:malformed:e"}},
      {PolicyFile::kNet, "carol veth br0 1\n", {"1:1:unknown-owner:w"}},
      {PolicyFile::kNet,
       "@empty veth br0 1\n@none veth br0 1\n",
       {"1:1:group-empty:w", "2:1:group-missing:w"}},
      {PolicyFile::kNet, "alice veth br9 1\n", {"1:12:bridge-missing:w"}},
      {PolicyFile::kNet, "alice veth eth0 1\n", {"1:12:no-bridge:e"}},
      {PolicyFile::kNet, "alice veth down 1\n", {"1:12:bridge-down:w"}},
      {PolicyFile::kNet, "alice veth br0 1 vlan=7\n", {"1:18:vlan:e"}},
      {PolicyFile::kNet, "alice veth br0 1 mtu=9000\n", {"1:18:over-machine:e"}},
      {PolicyFile::kNet,
       "* veth br0 0\nalice veth br0 5000\n",
       {"1:12:count-zero:w", "2:16:over-machine:w"}},
      // A ban is meant.
      {PolicyFile::kNet, "alice veth br0 0\n", {}},
      {PolicyFile::kNet, "alice veth br0 4 ip=10.9.0.16/29 guard=no\n", {}},
      {PolicyFile::kNet, "alice veth br0 7 ip=10.9.0.16/29 guard=no\n", {"1:18:range-small:w"}},
      {PolicyFile::kNet, "alice veth br0 8 ip=10.9.0.16/29 guard=no gateway=10.9.0.1/24\n", {}},
      {PolicyFile::kNet,
       "alice veth br0 8 ip=10.9.0.0/29 guard=no gateway=10.9.0.1/24\n",
       {"1:18:range-small:w"}},
      {PolicyFile::kNet,
       "alice veth br0 1 ip=10.9.0.16/29 gateway=10.9.0.1 guard=no\n",
       {"1:34:gateway-outside:e"}},
      {PolicyFile::kNet,
       "alice veth br0 1 ip=10.9.0.16/29 gateway=10.8.0.1/24 guard=no\n",
       {"1:34:gateway-outside:e"}},
      {PolicyFile::kNet, "alice veth br0 1 gateway=10.8.0.1\n", {"1:12:no-addresses:w"}},
      {PolicyFile::kNet,
       "alice veth br0 1 ip=10.9.0.0/24 guard=no\nbob veth br0 1 ip=10.9.0.64/26 guard=no\n",
       {"2:16:range-overlap:w"}},
      {PolicyFile::kNet,
       "alice veth br0 1 group=7\nbob veth br0 1 group=8\n* veth br0 1 rate=1mbit group=7\n",
       {"3:25:group-shared:w"}},
      {PolicyFile::kNet, "alice veth br0 1 group=30063\n", {"1:18:group-reserved:w"}},
      {PolicyFile::kNet, "alice veth br0 1", {"1:17:no-final-newline:w"}},
  };
  expect(rows);
}

TEST(PolicyChecks, FindWhatACgroupLineIs) {
  const Row rows[] = {
      {PolicyFile::kCgroup,
       "alice\nalice pids=3\nalice pids.max=0\n",
       {"1:1:malformed:e", "2:7:malformed:e", "3:16:malformed:e"}},
      {PolicyFile::kCgroup, "alice pids.max=3\r\n", {"1:17:crlf:e"}},
      {PolicyFile::kCgroup,
       "carol pids.max=3\n@empty pids.max=3\n",
       {"1:1:unknown-owner:w", "2:1:group-empty:w"}},
      {PolicyFile::kCgroup, "alice pids.max=3 from=/there,/gone\n", {"1:18:from-missing:w"}},
      {PolicyFile::kCgroup, "alice from=any containers=3\n", {}},
      {PolicyFile::kCgroup, "alice memory.max=5G\n", {"1:7:over-machine:w"}},
      {PolicyFile::kCgroup, "alice pids.max=40000\n", {"1:7:over-machine:w"}},
      {PolicyFile::kCgroup, "alice cpu.max=401%\n", {"1:7:over-machine:w"}},
      {PolicyFile::kCgroup, "alice cpuset.cpus=0-4\n", {"1:7:over-machine:w"}},
      {PolicyFile::kCgroup, "alice hugetlb.1GB.max=1G\n", {"1:7:over-machine:e"}},
      {PolicyFile::kCgroup, "alice io.max=9:9,rbps=1M\n", {"1:7:over-machine:e"}},
      // v1 has a limit of memory, but none of swap space.
      {PolicyFile::kCgroup, "alice memory.max=1G memory.high=1G\n", {"1:21:no-controller:e"}},
      {PolicyFile::kCgroup, "base = /nope\nalice pids.max=3\n", {"1:1:base:e"}},
      {PolicyFile::kCgroup, "base = /a\nbase = /b\nalice pids.max=3\n", {"2:1:malformed:e"}},
      {PolicyFile::kCgroup, "base = /systemd\nalice pids.max=3\n", {"1:1:base-not-delegated:e"}},
      {PolicyFile::kCgroup, "base = /systemd delegated\nbase.v1 = /x\nalice pids.max=3\n", {}},
      {PolicyFile::kCgroup, "base.v1 = /x\nbase.v1 = /x\n", {"2:1:malformed:e"}},
  };
  expect(rows);
}

TEST(PolicyChecks, SayWhatTheParserSays) {
  // Whatever the helpers refuse is an error, and nothing that they take is "malformed".
  const std::string_view texts[] = {"alice veth br0 1\n",
                                    "alice veth br0 x\n",
                                    "\n#\n",
                                    "@ veth br0 1\n",
                                    "a\tveth\tb\t1\tmac=any\n",
                                    "alice pids.max=3\n",
                                    "alice pids.max=3 pids.max=4\n",
                                    "base=/x\nbase=/y\n",
                                    "* x\n"};
  for (const auto text : texts) {
    const auto has = [&](PolicyFile kind) {
      const auto found = found_in(kind, text);
      return std::ranges::any_of(found, [](const std::string& f) {
        return f.contains(":malformed:") || f.contains(":crlf:");
      });
    };
    EXPECT_EQ(has(PolicyFile::kNet), !parse_net_conf("x", text)) << text;
    EXPECT_EQ(has(PolicyFile::kCgroup), !parse_cgroup_conf(text, "x")) << text;
  }
}

TEST(PolicyChecks, SkipWhatOnlyTheMachineKnows) {
  auto elsewhere = host();
  elsewhere.machine.reset();
  EXPECT_TRUE(check({PolicyFile::kNet, "FILE", "alice veth nobr 1\n"}, elsewhere, nullptr).empty());
  EXPECT_TRUE(check({PolicyFile::kCgroup, "FILE", "base = /nope\nalice memory.max=9T\n"}, elsewhere,
                    nullptr)
                  .empty());
}

TEST(PolicyFinding, IsShownWithItsLineAndACaret) {
  const auto found =
      check({PolicyFile::kNet, "net.conf", "alice\tveth br0 1 mtu=x\n"}, host(), nullptr);
  ASSERT_EQ(found.size(), 1U);
  const auto text = to_text(found[0], false);
  EXPECT_TRUE(
      text.starts_with("net.conf:1:18: error: mtu='x' is not 68 to 65535 (NC-LINE) [malformed]\n"
                       "  alice veth br0 1 mtu=x\n"
                       "                   ^~~~~\n"))
      << text;
  EXPECT_TRUE(contains(to_text(found[0], true), "\033[1;31merror:\033[0m"));
}

TEST(PolicyFinding, ShowsNoControlCharactersAndNoEndlessLine) {
  const auto text = std::string("alice\033[2J veth ") + std::string(5000, 'x') + " 1\n";
  for (const auto& f : check({PolicyFile::kNet, "net\033.conf", text}, host(), nullptr)) {
    const auto shown = to_text(f, false);
    EXPECT_EQ(shown.find('\033'), std::string::npos);
    EXPECT_LT(shown.size(), 1000U);
  }
}

TEST(PolicyFinding, IsOneJsonDocumentWhateverTheBytes) {
  const auto found = check({PolicyFile::kSubuid, "/etc/subuid", "al\xffice:1\n"}, host(), nullptr);
  const std::string files[] = {"/etc/subuid"};
  const auto json = nlohmann::json::parse(to_json(found, files));
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["errors"], 1);
  EXPECT_EQ(json["findings"][0]["id"], "malformed");
  EXPECT_EQ(json["findings"][0]["line"], 1);
  EXPECT_EQ(exit_status(found), 2);
  EXPECT_EQ(exit_status({}), 0);
}

TEST(HostFacts, ReadLoginDefs) {
  const std::string_view text =
      "# UID_MIN 5\nUID_MIN\t\t 1001\nSUB_UID_MIN   x\nSUB_UID_MIN   200000 # x\nUID_MINX 7\n "
      "UID_MAX 60001\n"
      "SUB_UID_MAX 999999\r\nSUB_GID_MIN bad\n";
  std::vector<Finding> found;
  const auto defs = read_login_defs("login.defs", text, "U", found);
  EXPECT_EQ(defs.least, 1001U);
  EXPECT_EQ(defs.most, 60001U);
  EXPECT_EQ(defs.sub_least, 200000U);
  EXPECT_EQ(defs.sub_most, 999999U);
  EXPECT_TRUE(found.empty());
}

TEST(HostFacts, SayWhatInLoginDefsIsNoNumberAndWhatStandsInForIt) {
  struct Bad {
    std::string_view text;
    std::size_t line;
    Severity severity;
    std::string_view what, why;
  };
  constexpr Bad kRows[] = {
      {"SUB_UID_MIN abc\n", 1, Severity::kError, "SUB_UID_MIN 'abc' is not a decimal number",
       "standard, 100000,"},
      {"\nSUB_UID_MIN\n", 2, Severity::kError, "SUB_UID_MIN is empty", "standard, 100000,"},
      {"SUB_UID_MIN 200000\nSUB_UID_MIN 0x186A0\n", 2, Severity::kError, "is hexadecimal",
       "standard, 100000,"},
      {"SUB_UID_MAX 0600\n", 1, Severity::kError, "'0600' starts with 0", "standard, 600100000,"},
      {"SUB_UID_MAX -1\n", 1, Severity::kError, "has a sign", "standard, 600100000,"},
      {"SUB_UID_MAX 4294967295\n", 1, Severity::kError, "beyond the largest id, 4294967294",
       "standard, 600100000,"},
      {"SUB_UID_MAX 99999999999999999999\n", 1, Severity::kError, "is too large",
       "standard, 600100000,"},
      {"SUB_UID_MIN 9\nSUB_UID_MAX 8\n", 2, Severity::kError,
       "SUB_UID_MIN 9 is above SUB_UID_MAX 8", "100000 to 600100000"},
      {"SUB_UID_MIN 700000000\n", 1, Severity::kError, "is above SUB_UID_MAX 600100000",
       "100000 to 600100000"},
      {"UID_MIN 60001\n", 1, Severity::kError, "UID_MIN 60001 is above UID_MAX 60000",
       "1000 to 60000"},
      {"UID_MIN x\n", 1, Severity::kError, "UID_MIN 'x' is not a decimal number",
       "standard, 1000,"},
      {"SUB_UID_COUNT 65k\n", 1, Severity::kWarning, "SUB_UID_COUNT '65k' is not",
       "standard, 65536,"},
      {"SUB_UID_MAX 100009\nSUB_UID_COUNT 11\n", 2, Severity::kWarning, "is more than there are",
       "none"},
  };
  for (const auto& row : kRows) {
    std::vector<Finding> found;
    const auto defs = read_login_defs("/etc/login.defs", row.text, "U", found);
    ASSERT_EQ(found.size(), 1U) << row.text;
    EXPECT_EQ(found[0].id, "login-defs");
    EXPECT_EQ(found[0].file, "/etc/login.defs");
    EXPECT_EQ(found[0].line, row.line) << row.text;
    EXPECT_EQ(found[0].severity, row.severity) << row.text;
    EXPECT_TRUE(contains(found[0].what, row.what));
    EXPECT_TRUE(contains(found[0].why, row.why));
    EXPECT_LE(defs.sub_least, defs.sub_most);
    EXPECT_LE(defs.least, defs.most);
    std::vector<Finding> others;
    (void)read_login_defs("/etc/login.defs", row.text, "G", others);
    EXPECT_TRUE(others.empty()) << row.text;
  }
  // Well-formed, and not what can be meant.
  std::vector<Finding> odd;
  (void)read_login_defs("/etc/login.defs", "SUB_UID_COUNT 0\nSUB_UID_MIN 0\n", "U", odd);
  ASSERT_EQ(odd.size(), 2U);
  EXPECT_TRUE(contains(odd[0].what, "SUB_UID_MIN 0 is not above UID_MAX 60000"));
  EXPECT_TRUE(contains(odd[1].what, "SUB_UID_COUNT is 0"));
  for (const auto& finding : odd) EXPECT_EQ(finding.severity, Severity::kWarning);
}

TEST(CheckAround, KnowsWhatIsLeftBesideAFile) {
  for (const std::string_view left :
       {"subuid.dpkg-dist", "subuid.rpmnew", "subuid.bak", "subuid~", "subuid.lock", "subuid.1"})
    EXPECT_NE(leftover_kind("subuid", left), "") << left;
  for (const std::string_view other :
       {"subuid", "subuid-", "subuid.d", "subuidx", "subuid.", "subuid.1x", "subgid.bak", "sub"})
    EXPECT_EQ(leftover_kind("subuid", other), "") << other;
}

TEST(HostFacts, KnowTheBlocksOfADeterministicLoginDefs) {
  std::vector<Finding> found;
  auto defs = read_login_defs("x", "SUB_UID_DETERMINISTIC Yes\n", "U", found);
  EXPECT_TRUE(defs.deterministic && found.empty());
  EXPECT_EQ(deterministic_block(defs, 1000, 1000), IdRange::make(65536, 65536));
  EXPECT_EQ(deterministic_block(defs, 1000, 1003), IdRange::make(262144, 65536));
  EXPECT_FALSE(deterministic_block(defs, 1000, 999));
  // The last block that is whole: 65534 of them fit between 65536 and the last id.
  EXPECT_TRUE(deterministic_block(defs, 1000, 1000 + 65533));
  EXPECT_FALSE(deterministic_block(defs, 1000, 1000 + 65534));
  EXPECT_FALSE(deterministic_block(defs, 1000, ~0ULL));
  defs = read_login_defs("x", "SUB_GID_DETERMINISTIC yes\nSUB_GID_MIN 5\nSUB_GID_COUNT 0\n", "G",
                         found);
  EXPECT_FALSE(deterministic_block(defs, 1000, 1000));
  EXPECT_FALSE(read_login_defs("x", "SUB_UID_DETERMINISTIC no\n", "U", found).deterministic);
}

TEST(HostFacts, ReadIdsConf) {
  std::vector<Finding> found;
  const auto conf = read_ids_conf(
      "ids.conf", "# x\nranges = 5-5 7-9 # y\nuser_names = a b\nuser_names = c\n", found);
  EXPECT_EQ(conf.ranges, (std::vector{*IdRange::make(5, 1), *IdRange::make(7, 3)}));
  EXPECT_EQ(conf.user_names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(found.empty());
  for (const std::string_view bad :
       {"ranges = 5", "ranges = 7-5", "ranges 5-6", "range = 5-6", "ranges = 5-4294967295",
        "ranges = -", "ranges = 5-6-7", "ranges = 5-6\r"}) {
    found.clear();
    (void)read_ids_conf("ids.conf", concat("\n", bad, "\n"), found);
    ASSERT_EQ(found.size(), 1U) << bad;
    EXPECT_EQ(found[0].line, 2U) << bad;
  }
}

TEST(HostFacts, KnowWhichSourcesMayNotListTheirAccounts) {
  EXPECT_EQ(quiet_sources("passwd: files systemd\ngroup: compat\nhosts: dns\n"),
            std::vector<std::string>{});
  EXPECT_EQ(quiet_sources("passwd: files sss\ngroup: files [SUCCESS=merge] sss ldap # winbind\n"),
            (std::vector<std::string>{"sss", "ldap"}));
}

TEST(VettedIds, AskForTheEndsOfARangeAndForSomeBetween) {
  EXPECT_EQ(points_of(*IdRange::make(7, 1)), std::vector<std::uint32_t>{7});
  EXPECT_EQ(points_of(*IdRange::make(7, 2)), (std::vector<std::uint32_t>{7, 8}));
  const auto points = points_of(*IdRange::make(100000, 65536));
  EXPECT_EQ(points.size(), 65U);
  EXPECT_EQ(points.front(), 100000U);
  EXPECT_EQ(points.back(), 165535U);
}

TEST(VettedIds, AskForEveryIdOnceAndFarOnesFirst) {
  EXPECT_EQ(spread_over(*IdRange::make(7, 1)), std::vector<std::uint32_t>{7});
  EXPECT_EQ(spread_over(*IdRange::make(0, 8)),
            (std::vector<std::uint32_t>{0, 4, 2, 6, 1, 5, 3, 7}));
  auto ids = spread_over(*IdRange::make(100, 1000));
  ASSERT_EQ(ids.size(), 1000U);
  std::ranges::sort(ids);
  EXPECT_EQ(ids.front(), 100U);
  EXPECT_EQ(ids.back(), 1099U);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
}

TEST(HostFacts, ReadADirectorysRanges) {
  EXPECT_EQ(sssd_ranges("[sssd]\nid_provider = ad\n[domain/a]\nid_provider = ad\n"),
            std::vector{*IdRange::make(200000, 2000000001)});
  EXPECT_EQ(sssd_ranges("[domain/a]\nid_provider = ldap\nmin_id = 5000\nmax_id=6000\n"),
            std::vector{*IdRange::make(5000, 1001)});
  EXPECT_EQ(sssd_ranges("[domain/a]\nldap_idmap_range_min = 10\nldap_idmap_range_max = 19\n"),
            std::vector{*IdRange::make(10, 10)});
  EXPECT_TRUE(sssd_ranges("[domain/a]\nid_provider = ad\nldap_id_mapping = False\n").empty());
  EXPECT_TRUE(
      sssd_ranges(
          "[domain/a]\nldap_idmap_range_min = 9\nldap_idmap_range_max = 18446744073709551615\n")
          .empty());
  EXPECT_EQ(winbind_ranges(
                "[global]\n idmap config * : range = 3000-7999\n idmap config D : backend = rid\n"),
            std::vector{*IdRange::make(3000, 5000)});
}

}  // namespace
}  // namespace userns::frontend
