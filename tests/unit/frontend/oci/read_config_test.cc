#include "frontend/oci/config/read_config.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "frontend/oci/config/add_user_namespace.h"
#include "frontend/oci/config/read_process.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;

nlohmann::json smallest() {
  return nlohmann::json::parse(R"({
    "ociVersion": "1.2.0",
    "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
    "root": {"path": "rootfs"},
    "linux": {"namespaces": [{"type": "mount"}]}})");
}

// What is said of the smallest config with one thing changed.
std::string said_of(const char* pointer, const nlohmann::json& value) {
  auto config = smallest();
  config[nlohmann::json::json_pointer(pointer)] = value;
  const auto read = parse_config(config.dump());
  return read ? "" : text_of(read);
}

TEST(OciConfig, TheSmallestIsRead) {
  const auto config = parse_config(smallest().dump());
  ASSERT_TRUE(config) << text_of(config);
  EXPECT_EQ(config->root, "rootfs");
  EXPECT_TRUE(config->makes(CLONE_NEWNS));
  EXPECT_FALSE(config->has(CLONE_NEWUSER));
  EXPECT_EQ(config->process->args, std::vector<std::string>{"true"});
  EXPECT_EQ(config->process->capabilities.bounding, 0U);
}

TEST(OciConfig, WhatTheSpecificationDoesNotKnowIsPassedOver) {
  EXPECT_EQ(said_of("/somethingNew", {{"a", 1}}), "");
  EXPECT_EQ(said_of("/linux/somethingNew", true), "");
}

TEST(OciConfig, WhatThisRuntimeDoesNotDoIsNamed) {
  struct Row {
    const char* pointer;
    nlohmann::json value;
    const char* place;
  };
  const Row rows[]{
      {"/linux/intelRdt", {{"closID", "x"}}, "linux.intelRdt"},
      {"/process/selinuxLabel", "system_u", "process.selinuxLabel"},
      {"/process/apparmorProfile", "docker-default", "process.apparmorProfile"},
      {"/windows", {{"layerFolders", {"x"}}}, "windows"},
      {"/mounts",
       {{{"destination", "/a"}, {"source", "/b"}, {"options", {"bind", "idmap"}}}},
       "mounts[0].options"},
  };
  for (const auto& row : rows) EXPECT_TRUE(contains(said_of(row.pointer, row.value), row.place));
}

TEST(OciConfig, WhatIsWrongIsNamedByItsPlace) {
  struct Row {
    const char* pointer;
    nlohmann::json value;
    const char* place;
  };
  const Row rows[]{
      {"/ociVersion", "2.0.0", "ociVersion"},
      {"/ociVersion", "1.0", "ociVersion"},
      {"/root/path", 7, "root.path"},
      {"/process/args", nlohmann::json::array(), "process.args"},
      {"/process/cwd", "here", "process.cwd"},
      {"/process/user/uid", -1, "process.user.uid"},
      {"/process/user/uid", 4294967295U, "process.user.uid"},
      {"/process/env", {"A=b", 7}, "process.env[1]"},
      {"/process/oomScoreAdj", 1001, "process.oomScoreAdj"},
      {"/process/rlimits",
       {{{"type", "RLIMIT_X"}, {"soft", 1}, {"hard", 1}}},
       "process.rlimits[0].type"},
      {"/process/rlimits",
       {{{"type", "RLIMIT_CPU"}, {"soft", 2}, {"hard", 1}}},
       "process.rlimits[0]"},
      {"/linux/namespaces", {{{"type", "mount"}}, {{"type", "mount"}}}, "linux.namespaces[1]"},
      {"/linux/namespaces", {{{"type", "moon"}}}, "linux.namespaces[0].type"},
      {"/linux/namespaces", {{{"type", "mount"}}, {{"type", "net"}}}, "linux.namespaces[1].type"},
      {"/linux/namespaces", {{{"type", "pid"}}}, "no new mount namespace"},
      {"/linux/namespaces",
       {{{"type", "mount"}, {"path", "/proc/1/ns/mnt"}}},
       "no new mount namespace"},
      {"/linux/namespaces",
       {{{"type", "mount"}}, {{"type", "network"}, {"path", "net"}}},
       "linux.namespaces[1].path"},
      {"/linux/namespaces", {{{"type", "mount"}}, {{"type", "user"}}}, "linux.uidMappings"},
      {"/linux/devices", {{{"path", "dev/x"}, {"type", "c"}}}, "linux.devices[0].path"},
      {"/linux/devices", {{{"path", "/dev/.."}, {"type", "p"}}}, "linux.devices[0].path"},
      {"/linux/devices", {{{"path", "/dev/"}, {"type", "p"}}}, "linux.devices[0].path"},
      {"/linux/devices",
       {{{"path", "/dev/x"}, {"type", "p"}, {"fileMode", 4096}}},
       "linux.devices[0].fileMode"},
      {"/linux/devices",
       {{{"path", "/dev/x"}, {"type", "p"}, {"uid", 4294967295U}}},
       "linux.devices[0].uid"},
      {"/linux/rootfsPropagation", "sideways", "linux.rootfsPropagation"},
      {"/linux/maskedPaths", {"proc/keys"}, "linux.maskedPaths"},
      {"/hostname", "a", "hostname"},
      {"/mounts", {{{"destination", "/a"}}}, "mounts[0].type"},
      {"/mounts", {{{"type", "tmpfs"}}}, "mounts[0].destination"},
      {"/hooks/prestart", {{{"path", "bin/x"}}}, "hooks.prestart[0].path"},
      {"/hooks/prestart", {{{"path", "/x"}, {"timeout", 0}}}, "hooks.prestart[0].timeout"},
      {"/linux/seccomp", {{"defaultAction", "SCMP_ACT_MAYBE"}}, "linux.seccomp.defaultAction"},
      {"/linux/seccomp", {{"defaultAction", "SCMP_ACT_NOTIFY"}}, "linux.seccomp.defaultAction"},
      {"/linux/seccomp",
       {{"defaultAction", "SCMP_ACT_ALLOW"}, {"listenerPath", "s"}},
       "linux.seccomp.listenerPath"},
      {"/linux/seccomp",
       {{"defaultAction", "SCMP_ACT_ALLOW"},
        {"syscalls", {{{"names", {"mkdir"}}, {"action", "SCMP_ACT_NOTIFY"}}}}},
       "linux.seccomp.listenerPath"},
      {"/process/env", {std::string("A=\0b", 4)}, "process.env[0]"},
  };
  for (const auto& row : rows)
    EXPECT_TRUE(contains(said_of(row.pointer, row.value), row.place))
        << row.pointer << ": " << said_of(row.pointer, row.value);
}

TEST(OciConfig, AUserNamespaceIsAddedToThoseThatAreListed) {
  const std::vector uids{*Extent::make(0, 1000, 1), *Extent::make(1, 100001, 65535)};
  const std::vector gids{*Extent::make(0, 1001, 1)};
  const auto text = add_user_namespace(smallest().dump(), uids, gids);
  ASSERT_TRUE(text);
  const auto config = parse_config(*text);
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_TRUE(config->makes(CLONE_NEWUSER));
  EXPECT_EQ(config->namespaces.size(), parse_config(smallest().dump())->namespaces.size() + 1);
  ASSERT_EQ(config->uids.size(), 2U);
  EXPECT_EQ(config->uids[1].outside().first(), 100001U);
  EXPECT_EQ(config->gids[0].outside().first(), 1001U);
  EXPECT_FALSE(add_user_namespace("[]", uids, gids));
}

TEST(OciConfig, TheFiveSetsOfCapabilitiesAreRead) {
  auto config = smallest();
  config["process"]["capabilities"] = {{"bounding", {"CAP_KILL", "CAP_OF_THE_FUTURE"}},
                                       {"effective", {"CAP_CHOWN"}},
                                       {"permitted", {"CAP_FOWNER"}},
                                       {"inheritable", {"CAP_SETUID"}},
                                       {"ambient", {"CAP_SETGID"}}};
  const auto sets = parse_config(config.dump())->process->capabilities;
  EXPECT_EQ(sets.bounding, 1U << CAP_KILL);
  EXPECT_EQ(sets.unknown, std::set<std::string>{"CAP_OF_THE_FUTURE"});
  EXPECT_EQ(sets.effective, 1U << CAP_CHOWN);
  EXPECT_EQ(sets.permitted, 1U << CAP_FOWNER);
  EXPECT_EQ(sets.inheritable, 1U << CAP_SETUID);
  EXPECT_EQ(sets.ambient, 1U << CAP_SETGID);
}

TEST(OciConfig, NoJsonIsNoConfig) {
  EXPECT_FALSE(parse_config(""));
  EXPECT_FALSE(parse_config("[]"));
  EXPECT_FALSE(parse_config("{\"ociVersion\": \"1.2.0\""));
  EXPECT_FALSE(parse_config(std::string(100000, '[')));
}

TEST(OciProcessFile, IsReadLikeTheConfigs) {
  const auto process = parse_process(R"({"args": ["a", "b"], "cwd": "/", "terminal": true,
      "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 18446744073709551615}]})");
  ASSERT_TRUE(process) << text_of(process);
  EXPECT_TRUE(process->terminal);
  EXPECT_EQ(process->rlimits[0].resource, RLIMIT_NOFILE);
  EXPECT_EQ(process->rlimits[0].hard, RLIM_INFINITY);
  EXPECT_TRUE(contains(text_of(parse_process("{\"cwd\": \"/\"}")), "args"));
}

}  // namespace
}  // namespace userns::frontend
