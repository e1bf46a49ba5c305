#include "policy/cgroup_conf.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

namespace userns {
namespace {

std::vector<std::pair<std::string, std::string>> files_of(const CgroupLine& line) {
  std::vector<std::pair<std::string, std::string>> found;
  for (const auto& setting : line.settings) found.emplace_back(setting.file, setting.text);
  return found;
}

TEST(CgroupConf, TakesEachKeyInTheSpellingsOfItsForm) {
  const std::tuple<std::string, std::string, std::string> good[] = {
      {"memory.max=4G", "memory.max", "4294967296"},
      {"memory.max=0", "memory.max", "0"},
      {"memory.max=max", "memory.max", "max"},
      {"memory.max=9223372036854775807", "memory.max", "9223372036854775807"},
      {"memory.max=8388607T", "memory.max", "9223370937343148032"},
      {"memory.high=1K", "memory.high", "1024"},
      {"memory.swap.max=512M", "memory.swap.max", "536870912"},
      {"hugetlb.2MB.max=4M", "hugetlb.2MB.max", "4194304"},
      {"pids.max=4194304", "pids.max", "4194304"},
      {"pids.max=max", "pids.max", "max"},
      {"cpu.max=200%", "cpu.max", "200000 100000"},
      {"cpu.max=1%", "cpu.max", "1000 100000"},
      {"cpu.max=max", "cpu.max", "max 100000"},
      {"cpu.weight=10000", "cpu.weight", "10000"},
      {"io.weight=1", "io.weight", "1"},
      {"io.max=8:0,rbps=10M,wiops=max", "io.max", "8:0 rbps=10485760 wbps=max riops=max wiops=max"},
      {"cpuset.cpus=0-3,5", "cpuset.cpus", "0-3,5"},
      {"descendants=7", "cgroup.max.descendants", "7"},
      {"depth=64", "cgroup.max.depth", "64"},
      {"containers=0", "containers", "0"},
      {"from=any", "from", "any"},
      {"from=/", "from", "/"},
      {"from=/a.slice/b\\x2d.service,/c", "from", "/a.slice/b\\x2d.service,/c"},
  };
  for (const auto& [setting, file, text] : good) {
    const auto conf = parse_cgroup_conf("alice " + setting, "f");
    ASSERT_TRUE(conf) << setting << ": " << conf.error().text;
    EXPECT_EQ(files_of(conf->lines.at(0)),
              (std::vector<std::pair<std::string, std::string>>{{file, text}}))
        << setting;
  }
}

TEST(CgroupConf, RefusesEveryOtherValue) {
  for (const std::string_view bad : {"memory.max=",
                                     "memory.max=4g",
                                     "memory.max=G",
                                     "memory.max=04",
                                     "memory.max=0x4",
                                     "memory.max=-1",
                                     "memory.max=4GB",
                                     "memory.max=4.5G",
                                     "memory.max=9223372036854775808",
                                     "memory.max=8388608T",
                                     "memory.max=99999999999999999999",
                                     "memory.max=Max",
                                     "pids.max=0",
                                     "pids.max=1K",
                                     "pids.max=4194305",
                                     "cpu.max=50",
                                     "cpu.max=0%",
                                     "cpu.max=%",
                                     "cpu.max=max%",
                                     "cpu.max=1000001%",
                                     "cpu.weight=0",
                                     "cpu.weight=10001",
                                     "cpu.weight=max",
                                     "io.max=8:0",
                                     "io.max=8:0,",
                                     "io.max=8:0,rbps",
                                     "io.max=8:0,rbps=",
                                     "io.max=8:0,rbps=0",
                                     "io.max=8:,rbps=1",
                                     "io.max=:0,rbps=1",
                                     "io.max=8,rbps=1",
                                     "io.max=8:0:0,rbps=1",
                                     "io.max=8:0,xbps=1",
                                     "io.max=8:0,rbps=1,,wbps=1",
                                     "cpuset.cpus=",
                                     "cpuset.cpus=0;1",
                                     "cpuset.cpus=a",
                                     "depth=0",
                                     "depth=65",
                                     "descendants=0",
                                     "containers=1000001",
                                     "containers=max",
                                     "from=",
                                     "from=a",
                                     "from=,/a",
                                     "from=/a,",
                                     "from=/a,,/b",
                                     "from=/a/",
                                     "from=/a/../b",
                                     "from=/..",
                                     "from=/a,any",
                                     "from=ANY"}) {
    const auto conf = parse_cgroup_conf("alice " + std::string(bad), "f");
    ASSERT_FALSE(conf) << bad;
    EXPECT_EQ(conf.error().rule, "CC-VALUE") << bad;
  }
}

TEST(CgroupConf, RefusesKeysThatItDoesNotKnowOrHasSeen) {
  for (const std::string_view bad :
       {"memory", "memory.max", "=4G", "memory.low=4G", "hugetlb.max=4M", "hugetlb..max=4M",
        "hugetlb.a.b.max=4M", "hugetlb.a/b.max=4M", "cgroup.procs=0", "pids.max=4 pids.max=4",
        "hugetlb.2MB.max=4M hugetlb.2MB.max=5M", "Memory.max=4G"}) {
    const auto conf = parse_cgroup_conf("alice " + std::string(bad), "f");
    ASSERT_FALSE(conf) << bad;
    EXPECT_EQ(conf.error().rule, "CC-KEY") << bad;
  }
}

TEST(CgroupConf, TakesSeveralDevicesAndHugePageSizes) {
  const auto conf = parse_cgroup_conf(
      "* io.max=8:0,rbps=1 io.max=8:16,rbps=2 hugetlb.2MB.max=1 hugetlb.1GB.max=2", "f");
  ASSERT_TRUE(conf);
  EXPECT_EQ(conf->lines.at(0).settings.size(), 4U);
}

TEST(CgroupConf, SaysWhereALineIsWrong) {
  const std::tuple<std::string_view, std::string_view, std::string_view> bad[] = {
      {"alice", "f:1:1: ", "CC-LINE"},
      {"\n\n  @ pids.max=1", "f:3:3: ", "CC-LINE"},
      {"alice pids.max=1\nmemory.max=4G", "f:2:1: ", "CC-LINE"},
      {"alice pids.max=1\r\n", "f:1:17: ", "CC-LINE"},
      {"alice pids.max=1 \x01", "f:1:18: ", "CC-LINE"},
      {"alice\tpids.max=1 \t cpus=2", "f:1:20: ", "CC-KEY"},
      {"alice memory.max=4X", "f:1:18: ", "CC-VALUE"},
      {"base = relative", "f:1:8: ", "CC-BASE"},
      {"base=", "f:1:6: ", "CC-BASE"},
      {"base = /a/../b", "f:1:8: ", "CC-BASE"},
      {"base = /a/..", "f:1:8: ", "CC-BASE"},
      {"base = /a b", "f:1:8: ", "CC-BASE"},
      {"base = /a\nbase = /a", "f:2:8: ", "CC-BASE"},
      {"base = /a delegate", "f:1:8: ", "CC-BASE"},
      {"base = /a delegated b", "f:1:8: ", "CC-BASE"},
      {"base.v1 = /a delegated", "f:1:11: ", "CC-BASE"},
      {"base.v1 = a", "f:1:11: ", "CC-BASE"},
      {"base.v1 = /..", "f:1:11: ", "CC-BASE"},
      {"base.v1 = /a\nbase.v1 = /b", "f:2:11: ", "CC-BASE"},
  };
  for (const auto& [text, where, rule] : bad) {
    const auto conf = parse_cgroup_conf(text, "f");
    ASSERT_FALSE(conf) << text;
    EXPECT_TRUE(conf.error().text.starts_with(where)) << conf.error().text;
    EXPECT_EQ(conf.error().rule, rule) << text;
  }
}

TEST(CgroupConf, TakesCommentsBlanksAndALastLineWithoutNewline) {
  const auto conf = parse_cgroup_conf(
      "# all\n\n \t\n  base  =\t/sys/fs/cgroup/x # here\n alice pids.max=1#no\n* containers=2",
      "f");
  ASSERT_TRUE(conf) << conf.error().text;
  EXPECT_EQ(conf->base, "/sys/fs/cgroup/x");
  ASSERT_EQ(conf->lines.size(), 2U);
  EXPECT_EQ(conf->lines[0].who, "alice");
  EXPECT_EQ(conf->lines[0].number, 5U);
  EXPECT_EQ(conf->lines[1].number, 6U);
}

TEST(CgroupConf, TakesABaseForV1AndRootsWordThatTheBaseIsDelegated) {
  const auto conf =
      parse_cgroup_conf("base.v1 = /users\nbase = /x.service\tdelegated # by root\n", "f");
  ASSERT_TRUE(conf) << conf.error().text;
  EXPECT_EQ(conf->base, "/x.service");
  EXPECT_EQ(conf->v1_base, "/users");
  EXPECT_TRUE(conf->delegated);
  EXPECT_FALSE(parse_cgroup_conf("base = /x.service", "f")->delegated);
}

TEST(CgroupConf, TakesAUserWhoIsCalledBase) {
  const auto conf = parse_cgroup_conf("base pids.max=1\nbased pids.max=2\n", "f");
  ASSERT_TRUE(conf) << conf.error().text;
  EXPECT_TRUE(conf->base.empty());
  EXPECT_EQ(conf->lines.size(), 2U);
}

}  // namespace
}  // namespace userns
