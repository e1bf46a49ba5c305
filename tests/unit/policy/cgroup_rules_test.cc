#include "policy/cgroup_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

namespace userns {
namespace {

constexpr std::string_view kAll = "cpuset cpu io memory hugetlb pids";

CgroupConf conf_of(const std::string& text) {
  return parse_cgroup_conf(text, "f").value_or(CgroupConf{});
}

Result<CgroupGrant> decide_on(const std::string& settings, std::string_view controllers,
                              bool systemds = false) {
  const auto conf = conf_of("alice " + settings);
  return decide({.caller = Uid{1000},
                 .line = conf.lines.empty() ? nullptr : conf.lines.data(),
                 .conf_path = "/etc/x",
                 .base = "/b",
                 .base_is_systemds = systemds,
                 .controllers = controllers,
                 .place = {"/", "/b", "1000"}},
                *ContainerName::parse("web"));
}

// file -> text of one part's required writes
std::map<std::string, std::string> required(const CgroupPart& part) {
  std::map<std::string, std::string> found;
  for (const auto& write : part.writes)
    if (write.required) found[write.file] = write.text;
  return found;
}

std::map<std::string, std::map<std::string, std::string>> v1_parts(const CgroupGrant& grant) {
  std::map<std::string, std::map<std::string, std::string>> found;
  for (const auto& part : grant.parts().subspan(1))
    found[std::string(part.controller)] = required(part);
  return found;
}

TEST(ContainerNames, AreOneLowerCaseWordOfAtMost32Bytes) {
  for (const std::string& good :
       {std::string("a"), std::string("0"), std::string("a-_9"), std::string(32, 'z')})
    EXPECT_TRUE(ContainerName::parse(good)) << good;
  using namespace std::string_literals;
  for (const std::string& bad : {""s, "."s, ".."s, "a.b"s, "a/b"s, "/"s, "-a"s, "_a"s, "A"s, "a b"s,
                                 "a\n"s, "a\0b"s, "\xc3\xa9"s, std::string(33, 'a')}) {
    const auto name = ContainerName::parse(bad);
    ASSERT_FALSE(name) << bad;
    EXPECT_EQ(name.error().rule, "CG-NAME");
  }
}

TEST(MatchingLine, IsTheFirstThatIsForTheCaller) {
  const auto conf = conf_of(
      "bob pids.max=1\n@crew pids.max=2\n1000 pids.max=3\nalice pids.max=4\n* pids.max=5\n");
  const auto no_group = [](std::string_view) { return false; };
  const auto crew = [](std::string_view group) { return group == "crew"; };
  EXPECT_EQ(matching_line(conf, Uid{1000}, "alice", crew)->number, 2U);
  EXPECT_EQ(matching_line(conf, Uid{1000}, "alice", no_group)->number, 3U);
  EXPECT_EQ(matching_line(conf, Uid{1001}, "alice", no_group)->number, 4U);
  EXPECT_EQ(matching_line(conf, Uid{7}, "", no_group)->number, 5U);
  EXPECT_EQ(matching_line(conf_of("bob pids.max=1"), Uid{7}, "", no_group), nullptr);
  EXPECT_EQ(matching_line(conf_of("@crew pids.max=1"), Uid{7}, "@crew", no_group), nullptr);
}

// Rule CG-ARGS.
TEST(CgroupRequests, AreTheWordsOfTheManualAndNoOthers) {
  using Words = std::vector<std::string_view>;
  using enum CgroupRequest::Verb;
  const auto enter = parse_cgroup_request(Words{"enter", "web", "--", "true"});
  ASSERT_TRUE(enter);
  EXPECT_TRUE(enter->verb == kEnter && enter->name->text() == "web" && !enter->json);
  EXPECT_TRUE(parse_cgroup_request(Words{"enter", "web", "--", "", "--", "list"}));
  const auto spawn = parse_cgroup_request(Words{"spawn", "web", "--", "true"});
  ASSERT_TRUE(spawn);
  EXPECT_TRUE(spawn->verb == kSpawn && spawn->name->text() == "web" && !spawn->json);
  const auto release = parse_cgroup_request(Words{"release", "web"});
  ASSERT_TRUE(release);
  EXPECT_TRUE(release->verb == kRelease && release->name->text() == "web");
  EXPECT_FALSE(parse_cgroup_request(Words{"list"})->json);
  EXPECT_TRUE(parse_cgroup_request(Words{"list", "--json"})->json);
  for (const auto& bad :
       {Words{}, Words{""}, Words{"enter"}, Words{"enter", "web"}, Words{"enter", "web", "--"},
        Words{"enter", "web", "true", "--"}, Words{"enter", "web", "-", "x"}, Words{"release"},
        Words{"release", "a", "b"}, Words{"list", "--yaml"}, Words{"list", "--json", "--json"},
        Words{"remove", "web"}, Words{"spawn"}, Words{"spawn", "web"}, Words{"spawn", "web", "--"},
        Words{"spawn", "web", "true"}}) {
    const auto request = parse_cgroup_request(bad);
    ASSERT_FALSE(request);
    EXPECT_EQ(request.error().rule, "CG-ARGS");
  }
  EXPECT_EQ(parse_cgroup_request(Words{"release", ".."}).error().rule, "CG-NAME");
}

TEST(CgroupPath, IsThatOfTheController) {
  constexpr std::string_view kText =
      "4:memory:/a/b\n3:cpu,cpuacct:/c:d\n1:name=systemd:/s\n0::/u\n";
  EXPECT_EQ(cgroup_path(kText, "memory"), "/a/b");
  EXPECT_EQ(cgroup_path(kText, "cpu"), "/c:d");
  EXPECT_EQ(cgroup_path(kText, "cpuacct"), "/c:d");
  EXPECT_EQ(cgroup_path(kText, "pids"), "");
  EXPECT_EQ(cgroup_path(kText, ""), "/u");
}

TEST(PathBelow, IsThePathWithinTheMount) {
  EXPECT_EQ(path_below("/m", "/m"), "/");
  EXPECT_EQ(path_below("/m", "/m/a/b"), "/a/b");
  EXPECT_EQ(path_below("/m", "/m/a/"), "/a");
  EXPECT_EQ(path_below("/m", "/m/"), "/");
  EXPECT_EQ(path_below("/m", "/mm/a"), "");
  EXPECT_EQ(path_below("/m", "/"), "");
}

TEST(AboveNode, CutsWhatLiesBelowTheUsersNode) {
  EXPECT_EQ(v1_user_cgroup(Uid{1000}), "userns-1000");
  EXPECT_EQ(above_user_cgroup("/m/a/userns-1000/web", "userns-1000"), "/m/a/");
  EXPECT_EQ(above_user_cgroup("/m/userns-1000", "userns-1000"), "/m/");
  EXPECT_EQ(above_user_cgroup("/m/userns-10001/web", "userns-1000"), "/m/userns-10001/web");
  EXPECT_EQ(above_user_cgroup("/m/xuserns-1000/userns-1000/y", "userns-1000"), "/m/xuserns-1000/");
  EXPECT_EQ(above_user_cgroup("/m", "userns-1000"), "/m");
}

TEST(Decide, RefusesWhomNoLineIsFor) {
  const auto refused = decide({.caller = Uid{1000}, .line = nullptr, .conf_path = "/etc/x"},
                              *ContainerName::parse("a"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().rule, "CG-POLICY");
  EXPECT_TRUE(refused.error().text.contains("uid 1000") && refused.error().text.contains("/etc/x"));
}

TEST(Decide, RefusesABaseThatIsSystemds) {
  const auto refused = decide_on("pids.max=4", kAll, true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().rule, "CG-WRITER");
}

// Rule CG-FROM.
TEST(Decide, LetsNobodyLeaveLimitsThatAreNotOfTheirOwnSession) {
  const auto from = [](const std::string& own, const std::string& base,
                       const std::string& settings = "containers=1") {
    const auto conf = conf_of("alice " + settings);
    const auto grant = decide({.caller = Uid{1000},
                               .line = conf.lines.data(),
                               .conf_path = "/etc/x",
                               .base = "/m",
                               .place = {own, base, "1000"}},
                              *ContainerName::parse("web"));
    EXPECT_TRUE(grant || grant.error().rule == "CG-FROM");
    return grant.has_value();
  };
  const std::string unit = "/system.slice/userns-cgroup.service";
  for (const std::string good :
       {"/", "/system.slice", "/system.slice/userns-cgroup.service",
        "/system.slice/userns-cgroup.service/1000/web", "/user.slice/user-1000.slice",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/x"})
    EXPECT_TRUE(from(good, unit)) << good;
  for (const std::string bad :
       {"", "/system.slice/job.service", "/system.slice/userns-cgroup.service/1001/web",
        "/system.slice/userns-cgroup.service/10000/web", "/user.slice/user-10001.slice/s",
        "/user.slice/user-0.slice/session-1.scope", "/user.slice", "/system.slice/userns-cgroup"})
    EXPECT_FALSE(from(bad, unit)) << bad;
  // The base at the top is not a licence, nor is one that is not to be seen.
  EXPECT_FALSE(from("/job", "/"));
  EXPECT_TRUE(from("/1000/web", "/"));
  EXPECT_FALSE(from("/job", ""));
  EXPECT_TRUE(from("/job/step", "/", "from=/else,/job"));
  EXPECT_FALSE(from("/jobs", "/", "from=/else,/job"));
  EXPECT_FALSE(from("", "/", "from=/job"));
  EXPECT_TRUE(from("/anything", "/", "from=/"));
  EXPECT_TRUE(from("", "/", "from=any"));
}

TEST(Decide, RefusesWhoIsGivenNoContainers) {
  const auto refused = decide_on("containers=0 pids.max=4", kAll);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().rule, "CG-COUNT");
}

TEST(Decide, WritesV2FilesAndTakesBackWhatTheLineDoesNotSet) {
  const auto grant = decide_on("memory.max=4G containers=3", kAll);
  ASSERT_TRUE(grant);
  ASSERT_EQ(grant->parts().size(), 1U);
  EXPECT_EQ(required(grant->parts()[0]),
            (std::map<std::string, std::string>{{"cgroup.max.depth", "16"},
                                                {"cgroup.max.descendants", "4096"},
                                                {"memory.max", "4294967296"}}));
  std::map<std::string, std::string> optional;
  for (const auto& write : grant->parts()[0].writes)
    if (!write.required) optional[write.file] = write.text;
  EXPECT_EQ(optional, (std::map<std::string, std::string>{{"memory.high", "max"},
                                                          {"memory.swap.max", "max"},
                                                          {"pids.max", "max"},
                                                          {"cpu.max", "max 100000"},
                                                          {"cpu.weight", "100"},
                                                          {"io.weight", "100"},
                                                          {"cpuset.cpus", "\n"},
                                                          {"cpuset.mems", "\n"}}));
  EXPECT_EQ(grant->containers(), 3U);
  EXPECT_EQ(decide_on("pids.max=4", kAll)->containers(), 32U);
}

TEST(Decide, EnablesWhatPolicyNeedsAndWhatUsersSetThemselves) {
  EXPECT_EQ(decide_on("pids.max=4", kAll)->enable(), "+cpu +io +memory +pids ");
  EXPECT_EQ(decide_on("cpuset.cpus=0 hugetlb.2MB.max=4M", kAll)->enable(),
            "+cpuset +cpu +io +memory +hugetlb +pids ");
  EXPECT_EQ(decide_on("containers=4", "")->enable(), "");
}

TEST(Decide, TranslatesForV1WhatV2Lacks) {
  const auto grant = decide_on(
      "memory.max=4G pids.max=max cpu.max=50% cpu.weight=200 io.weight=10 "
      "io.max=8:0,rbps=10M,wiops=max "
      "cpuset.cpus=0-1 "
      "hugetlb.2MB.max=4M",
      "hugetlb");
  ASSERT_TRUE(grant) << grant.error().text;
  EXPECT_EQ(required(grant->parts()[0]),
            (std::map<std::string, std::string>{{"cgroup.max.depth", "16"},
                                                {"cgroup.max.descendants", "4096"},
                                                {"hugetlb.2MB.max", "4194304"}}));
  EXPECT_EQ(v1_parts(*grant), (std::map<std::string, std::map<std::string, std::string>>{
                                  {"memory", {{"memory.limit_in_bytes", "4294967296"}}},
                                  {"pids", {{"pids.max", "max"}}},
                                  {"cpu",
                                   {{"cpu.cfs_period_us", "100000"},
                                    {"cpu.cfs_quota_us", "50000"},
                                    {"cpu.shares", "2048"}}},
                                  {"blkio",
                                   {{"blkio.bfq.weight", "10"},
                                    {"blkio.throttle.read_bps_device", "8:0 10485760"},
                                    {"blkio.throttle.write_bps_device", "8:0 0"},
                                    {"blkio.throttle.read_iops_device", "8:0 0"},
                                    {"blkio.throttle.write_iops_device", "8:0 0"}}},
                                  {"cpuset", {{"cpuset.cpus", "0-1"}}}}));
  const auto unlimited = decide_on("memory.max=max cpu.max=max hugetlb.1GB.max=max", "");
  ASSERT_TRUE(unlimited);
  EXPECT_EQ(v1_parts(*unlimited),
            (std::map<std::string, std::map<std::string, std::string>>{
                {"memory", {{"memory.limit_in_bytes", "-1"}}},
                {"cpu", {{"cpu.cfs_period_us", "100000"}, {"cpu.cfs_quota_us", "-1"}}},
                {"hugetlb", {{"hugetlb.1GB.limit_in_bytes", "-1"}}}}));
}

TEST(Decide, TakesBackInV1WhatTheLineDoesNotSet) {
  const auto grant = decide_on("pids.max=4", "hugetlb");
  ASSERT_TRUE(grant);
  EXPECT_EQ(
      v1_parts(*grant),
      (std::map<std::string, std::map<std::string, std::string>>{{"pids", {{"pids.max", "4"}}}}));
  std::map<std::string, std::map<std::string, std::string>> idle;
  for (const auto& part : grant->idle()) {
    auto& files = idle[std::string(part.controller)];
    for (const auto& write : part.writes) {
      EXPECT_FALSE(write.required);
      files[write.file] = write.text;
    }
  }
  EXPECT_EQ(
      idle,
      (std::map<std::string, std::map<std::string, std::string>>{
          {"memory", {{"memory.limit_in_bytes", "-1"}}},
          {"cpu",
           {{"cpu.cfs_period_us", "100000"}, {"cpu.cfs_quota_us", "-1"}, {"cpu.shares", "1024"}}},
          {"blkio", {{"blkio.bfq.weight", "100"}}},
          {"cpuset", {}}}));
  // A v1 hierarchy that one limit keeps in use has its others taken back in place.
  const auto cpu = decide_on("cpu.weight=200", "");
  ASSERT_TRUE(cpu);
  const auto& writes = cpu->parts()[1].writes;
  EXPECT_TRUE(std::ranges::any_of(writes, [](const CgroupWrite& w) {
    return w.file == "cpu.cfs_quota_us" && w.text == "-1" && !w.required;
  }));
}

TEST(Decide, DoesWithoutV2WhereContainersAreCountedInAV1Hierarchy) {
  const auto decide_v1 = [](const std::string& settings) {
    const auto conf = conf_of("alice " + settings);
    return decide({.caller = Uid{1000},
                   .line = conf.lines.data(),
                   .conf_path = "f",
                   .base = "/b",
                   .hierarchy = "pids",
                   .place = {"/", "/b", "userns-1000"}},
                  *ContainerName::parse("web"));
  };
  const auto grant = decide_v1("pids.max=4 memory.max=1G containers=2");
  ASSERT_TRUE(grant) << grant.error().text;
  EXPECT_EQ(grant->parts()[0].controller, "pids");
  EXPECT_EQ(required(grant->parts()[0]), (std::map<std::string, std::string>{{"pids.max", "4"}}));
  EXPECT_EQ(v1_parts(*grant).size(), 1U);
  EXPECT_TRUE(grant->enable().empty());
  EXPECT_EQ(grant->containers(), 2U);
  const auto base_alone = decide_v1("memory.max=1G");
  ASSERT_TRUE(base_alone);
  EXPECT_EQ(base_alone->parts()[0].controller, "pids")
      << "the hierarchy of the base is there without a limit, too";
  for (const std::string bad : {"descendants=4", "depth=2", "memory.high=1G"}) {
    const auto refused = decide_v1(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().rule, "CG-CONTROLLER") << bad;
  }
}

TEST(TakenBack, IsWhatAFileShowsAndThePartDoesNotSet) {
  const auto shown = [](const CgroupPart& part, std::string_view file, std::string_view text) {
    std::string all;
    for (const auto& write : taken_back(part, file, text)) {
      EXPECT_TRUE(write.file == file && !write.required);
      all += write.text + ";";
    }
    return all;
  };
  const CgroupPart v2{"",
                      {{"io.max", "8:0 rbps=1 wbps=max riops=max wiops=max", true},
                       {"hugetlb.2MB.max", "4", true}}};
  constexpr std::string_view kIo =
      "8:0 rbps=1 wbps=max\n8:01 rbps=1 wbps=max\n254:0 rbps=max wbps=7\n";
  EXPECT_EQ(
      shown(v2, "io.max", kIo),
      "8:01 rbps=max wbps=max riops=max wiops=max;254:0 rbps=max wbps=max riops=max wiops=max;");
  EXPECT_EQ(shown(v2, "io.max", ""), "");
  EXPECT_EQ(shown(v2, "hugetlb.2MB.max", ""), "");
  EXPECT_EQ(shown(v2, "hugetlb.1GB.max", ""), "max;");
  EXPECT_EQ(shown(v2, "hugetlb.1GB.rsvd.max", ""), "");
  EXPECT_EQ(shown(v2, "hugetlb.1GB.events", ""), "");
  EXPECT_EQ(shown(v2, "memory.max", "4"), "");
  const CgroupPart v1{"blkio", {{"blkio.throttle.read_bps_device", "8:0 1", true}}};
  EXPECT_EQ(shown(v1, "blkio.throttle.read_bps_device", "8:0 1\n254:0 5\n"), "254:0 0;");
  EXPECT_EQ(shown(v1, "blkio.throttle.write_bps_device", "8:0 1\n"), "8:0 0;");
  EXPECT_EQ(shown({"hugetlb", {}}, "hugetlb.2MB.limit_in_bytes", "9"), "-1;");
}

TEST(Decide, RefusesALimitThatNeitherV2NorV1Has) {
  for (const std::string setting : {"memory.high=1G", "memory.swap.max=0"}) {
    const auto refused = decide_on(setting, "pids");
    ASSERT_FALSE(refused) << setting;
    EXPECT_EQ(refused.error().rule, "CG-CONTROLLER");
    EXPECT_TRUE(refused.error().text.starts_with(setting.substr(0, setting.find('='))))
        << refused.error().text;
  }
}

}  // namespace
}  // namespace userns
