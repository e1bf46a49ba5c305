#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "frontend/oci/cgroup/note.h"
#include "frontend/oci/config/cgroups_path.h"
#include "frontend/oci/config/read_resources.h"

namespace userns::frontend {
namespace {

// "FILE=TEXT" of v2 of all wishes.
std::string v2_of(std::string_view json) {
  const auto resources = parse_resources(json);
  if (!resources) return "refused: " + resources.error().text;
  std::string all;
  for (const auto& wish : resources->wishes) all += wish.file + "=" + wish.text + ";";
  return all;
}
std::string v1_of(std::string_view json) {
  const auto resources = parse_resources(json);
  if (!resources) return "refused: " + resources.error().text;
  std::string all;
  for (const auto& wish : resources->wishes)
    all += wish.v1.hierarchy + "/" + wish.v1.file + "=" + wish.v1.text + ";";
  return all;
}

TEST(OciResources, MemoryAndSwapAreCountedTogetherByTheBundleAndApartByTheKernel) {
  EXPECT_EQ(v2_of(R"({"memory": {"limit": 100, "swap": 150, "reservation": 50}})"),
            "memory.max=100;memory.swap.max=50;memory.low=50;");
  EXPECT_EQ(v2_of(R"({"memory": {"limit": -1, "swap": -1}})"),
            "memory.max=max;memory.swap.max=max;");
  EXPECT_EQ(v1_of(R"({"memory": {"limit": 100, "swap": 150}})"),
            "memory/memory.limit_in_bytes=100;memory/memory.memsw.limit_in_bytes=150;");
  EXPECT_NE(v2_of(R"({"memory": {"limit": 100, "swap": 99}})").find("is less than"),
            std::string::npos);
  EXPECT_NE(v2_of(R"({"memory": {"swap": 99}})").find("needs memory.limit"), std::string::npos);
}

TEST(OciResources, CpuTimeIsOneFileInVersion2) {
  EXPECT_EQ(v2_of(R"({"cpu": {"quota": 5000, "period": 10000}})"),
            "cpu.max=5000 10000;cpu.max=5000 10000;");
  EXPECT_EQ(v2_of(R"({"cpu": {"quota": -1}})"), "cpu.max=max 100000;");
  EXPECT_EQ(v2_of(R"({"cpu": {"shares": 2}})"), "cpu.weight=1;");
  EXPECT_EQ(v2_of(R"({"cpu": {"shares": 1024}})"), "cpu.weight=39;");
  EXPECT_EQ(v2_of(R"({"cpu": {"shares": 262144}})"), "cpu.weight=10000;");
  EXPECT_EQ(v2_of(R"({"cpu": {"cpus": "0-1", "mems": "0"}})"), "cpuset.cpus=0-1;cpuset.mems=0;");
}

TEST(OciResources, WhatIsNotAskedForIsNotWritten) {
  EXPECT_EQ(v2_of("{}"), "");
  EXPECT_EQ(v2_of(R"({"pids": {"limit": 0}, "cpu": {}, "devices": [{"allow": false}]})"), "");
  EXPECT_EQ(v2_of(R"({"pids": {"limit": -1}})"), "pids.max=max;");
  EXPECT_EQ(v1_of(R"({"pids": {"limit": -1}})"), "pids/pids.max=max;");
}

TEST(OciResources, OnlyLimitsComeByUnified) {
  EXPECT_EQ(v2_of(R"({"unified": {"io.max": "8:0 rbps=1\n8:1 rbps=2", "memory.high": "7"}})"),
            "io.max=8:0 rbps=1;io.max=8:1 rbps=2;memory.high=7;");
  EXPECT_EQ(v2_of(R"({"unified": {"cgroup.max.depth": "3"}})"), "cgroup.max.depth=3;");
  for (const char* const name :
       {"cgroup.procs", "cgroup.kill", "../memory.max", "a/memory.max", "memory", ".x", ""})
    EXPECT_TRUE(v2_of(std::string(R"({"unified": {")") + name + R"(": "1"}})").starts_with("refus"))
        << name;
}

TEST(OciResources, PagesDevicesAndNetworkCards) {
  EXPECT_EQ(v2_of(R"({"hugepageLimits": [{"pageSize": "2MB", "limit": 9}]})"),
            "hugetlb.2MB.max=9;hugetlb.2MB.rsvd.max=9;");
  EXPECT_TRUE(
      v2_of(R"({"hugepageLimits": [{"pageSize": "../x", "limit": 9}]})").starts_with("ref"));
  EXPECT_EQ(v2_of(R"({"blockIO": {"weight": 10, "throttleReadBpsDevice":
                      [{"major": 8, "minor": 0, "rate": 5}]}})"),
            "io.weight=1;io.max=8:0 rbps=5;");
  EXPECT_EQ(v2_of(R"({"rdma": {"mlx5_0": {"hcaHandles": 3}}})"), "rdma.max=mlx5_0 hca_handle=3;");
  EXPECT_EQ(v2_of(R"({"network": {"classID": 5}})"), "=;");
}

TEST(CgroupsPath, LeadsNowhereButDown) {
  const auto path = parse_cgroups_path("/a/b");
  ASSERT_TRUE(path);
  EXPECT_TRUE(path->is_absolute);
  EXPECT_EQ(path->below, "a/b");
  EXPECT_FALSE(parse_cgroups_path("a")->is_absolute);
  EXPECT_TRUE(parse_cgroups_path("")->below.empty());
  for (const char* const bad : {"/", "/..", "a/../b", "/a//b", "./a", "/a/b/", "a\nb"})
    EXPECT_EQ(parse_cgroups_path(bad).has_value(), std::string_view(bad) == "/a/b/") << bad;
}

TEST(CgroupsPath, NamesAUnitForSystemd) {
  EXPECT_EQ(parse_scope_name("user.slice:libpod:ab", "c")->unit, "libpod-ab.scope");
  EXPECT_EQ(parse_scope_name("user.slice:libpod:ab", "c")->slice, "user.slice");
  EXPECT_EQ(parse_scope_name("::ab", "c")->unit, "ab.scope");
  EXPECT_EQ(parse_scope_name("", "c")->unit, "userns-oci-c.scope");
  for (const char* const bad : {"a", "a:b", "x:b:c", "a.slice:b:", "a.slice:b:c:d", "--x.slice:b:c",
                                "a.slice:../b:c", "a.slice:b:c d"})
    EXPECT_FALSE(parse_scope_name(bad, "c")) << bad;
}

TEST(CgroupNote, IsReadAsItWasWritten) {
  const CgroupNote note{.entries = {{.path = "/sys/a b", .made = 2, .is_ours = true, .inode = 77},
                                    {.path = "/sys/c", .made = 1, .is_ours = false}},
                        .maker = CgroupMaker::kHelper,
                        .name = "oci-1"};
  const auto read = parse_cgroup_note(to_text(note));
  ASSERT_TRUE(read);
  EXPECT_EQ(to_text(*read), to_text(note));
  EXPECT_EQ(read->entries[0].path, "/sys/a b");
  EXPECT_TRUE(read->entries[0].is_ours);
  EXPECT_EQ(read->entries[0].inode, 77U);
  EXPECT_FALSE(read->entries[1].is_ours);
  EXPECT_EQ(read->name, "oci-1");
  for (const char* const bad :
       {"x", "ours x 1 /a", "ours 1 ", "ours 1 1", "ours 1 x /a", "theirs 1 /a\n"})
    EXPECT_FALSE(parse_cgroup_note(bad)) << bad;
}

}  // namespace
}  // namespace userns::frontend
