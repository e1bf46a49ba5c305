#include "frontend/policy_tool/verbs/lxc_config.h"

#include <gtest/gtest.h>

#include "frontend/spec/config_file.h"
#include "policy/net_conf.h"
#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;

std::string translated(
    std::string_view text,
    const LxcReader& read = [](const std::string& path) -> Result<std::vector<NamedText>> {
      return fail({}, concat("no ", path));
    }) {
  return translate_lxc_config({"config", std::string(text)}, read);
}

// "key=value" of each setting, without the network that a configuration without one has.
std::vector<std::string> settings_of(std::string_view text) {
  const auto file = ConfigFile::parse(translated(text), "x");
  EXPECT_TRUE(file) << text_of(file);
  std::vector<std::string> all;
  if (file)
    for (const auto& setting : file->settings())
      if (setting.key != "net" || setting.value != "host")
        all.push_back(concat(setting.key, "=", setting.value));
  return all;
}

struct Row {
  std::string_view lxc;
  std::vector<std::string> ours;
};

TEST(LxcConfig, SaysInOurWordsWhatHasACounterpart) {
  const Row rows[] = {
      {"lxc.idmap = u 0 100000 65536\nlxc.id_map=g 0 100000 65536\n",
       {"map=u:0:100000:65536", "map=g:0:100000:65536"}},
      {"lxc.rootfs.path = dir:/a/b\n", {"rootfs=/a/b"}},
      {"lxc.rootfs = /a\nlxc.rootfs.options = ro\n", {"rootfs=/a", "read-only=yes"}},
      {"lxc.rootfs.path = overlay:/low:/up\n", {"rootfs=/low", "overlay=yes"}},
      {"lxc.uts.name = \"web\"\n", {"hostname=web"}},
      {"  lxc.cgroup2.memory.max=1G\r\n", {"memory=1G"}},
      {"lxc.cgroup.memory.limit_in_bytes = 512M\n", {"memory=512M"}},
      {"lxc.cgroup2.cpu.max = 50000 100000\n", {"cpus=0.50"}},
      {"lxc.cgroup2.cpu.max = 250000\n", {"cpus=2.50"}},
      {"lxc.mount.entry = /a b/c none rbind,ro 0 0\n", {"bind=/a:/b/c:ro"}},
      {"lxc.mount.entry = tmpfs tmp tmpfs defaults\n", {"tmpfs=/tmp"}},
      {"lxc.cap.drop = sys_time mknod\n", {"cap-drop=sys_time,mknod"}},
      {"lxc.cap.keep = none\n", {"cap-keep=none"}},
      {"lxc.prlimit.nofile = 10:20\n", {"rlimit=nofile=10:20"}},
      {"lxc.environment = A=\n", {"env=A="}},
      {"lxc.no_new_privs = 1\nlxc.start.auto = 0\n", {"no-new-privs=yes", "autostart=no"}},
      {"lxc.namespace.keep = net ipc\n", {"share=net,ipc"}},
      {"lxc.init.uid = 5\nlxc.init.gid = 6\nlxc.init.cwd = /x\n", {"uid=5", "gid=6", "cwd=/x"}},
      {"lxc.init.cmd = /sbin/init --x\nlxc.group = g\n", {"command=/sbin/init --x", "group=g"}},
      {"lxc.hook.post-stop = /h\n", {"hook=post-stop=/h"}},
      {"lxc.net.0.type = none\n", {}},
      {"lxc.net.0.type = empty\n", {"net=none"}},
      {"lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.flags = up\nlxc.net.0.name = lan\n"
       "lxc.net.0.ipv4.address = 10.0.0.2/24 10.0.0.255\nlxc.net.0.ipv4.gateway = "
       "10.0.0.1\nlxc.net.0.mtu = 1400\n",
       {"net=bridge=br0,name=lan,address=10.0.0.2/24,gateway=10.0.0.1,mtu=1400"}},
      {"lxc.network.type = veth\nlxc.network.link = a\nlxc.network.type = veth\nlxc.network.link = "
       "b\n",
       {"net=bridge=a", "net=bridge=b"}},
  };
  for (const auto& row : rows) EXPECT_EQ(settings_of(row.lxc), row.ours) << row.lxc;
}

TEST(LxcConfig, TakesTheLastValueAndAnEmptyOneBack) {
  EXPECT_EQ(settings_of("lxc.uts.name = a\nlxc.uts.name = b\n"),
            std::vector<std::string>{"hostname=b"});
  EXPECT_EQ(settings_of("lxc.cap.drop = mknod\nlxc.cap.drop =\nlxc.cap.drop = chown\n"),
            std::vector<std::string>{"cap-drop=chown"});
}

TEST(LxcConfig, SaysWhyOfEverythingElse) {
  for (const std::string_view line :
       {"lxc.apparmor.profile = x", "lxc.seccomp.profile = x", "lxc.tty.max = 4",
        "lxc.cgroup2.devices.allow = c 1:3 rwm", "lxc.cgroup2.io.max = 8:0",
        "lxc.mount.entry = proc proc proc", "lxc.mount.entry = /a:b c none bind",
        "lxc.rootfs.path = zfs:a/b", "lxc.net.0.type = phys", "lxc.hook.clone = /x",
        "lxc.whatever = 1", "nonsense", "lxc.idmap = u 0 1", "lxc.uts.name = a/b",
        "lxc.cap.drop = nonsense", "lxc.cgroup2.memory.max = 5X", "lxc.cgroup2.cpu.max = max",
        "lxc.sysctl.net.ipv4.ip_forward = 1"}) {
    const auto text = translated(concat(line, "\n"));
    EXPECT_TRUE(contains(text, concat("# ", line, ": "))) << text;
    EXPECT_TRUE(settings_of(concat(line, "\n")).empty()) << text;
  }
}

TEST(LxcConfig, HasNoNetworkOfItsOwnWhereLxcHasNone) {
  EXPECT_TRUE(contains(translated("lxc.uts.name = a\n"), "net = host\n"));
}

TEST(LxcConfig, FollowsIncludesInTheirPlaceAndNotForEver) {
  const auto read = [](const std::string& path) -> Result<std::vector<NamedText>> {
    if (path == "loop")
      return std::vector<NamedText>{
          {"loop", "lxc.include = loop\nlxc.include = loop\nlxc.uts.name = l\n"}};
    if (path == "dir")
      return std::vector<NamedText>{{"dir/a.conf", "lxc.uts.name = a\n"},
                                    {"dir/b.conf", "lxc.uts.name = b\n"}};
    return fail({}, "can not be read", 2);
  };
  EXPECT_TRUE(contains(translated("lxc.include = dir\n", read),
                       "# lxc.uts.name = a: set again below\nhostname = b\n"));
  EXPECT_TRUE(contains(translated("lxc.include = none\n", read),
                       "# lxc.include = none: can not be read\n"));
  const auto text = translated("lxc.include = loop\n", read);
  EXPECT_TRUE(contains(text, "without end"));
  EXPECT_LT(text.size(), 1U << 20U);
}

TEST(LxcConfig, SaysWhereSettingsContradictEachOther) {
  EXPECT_TRUE(contains(translated("lxc.rootfs.path = overlay:/a:/b\nlxc.rootfs.options = ro\n"),
                       "# These settings do not go together: "));
}

TEST(LxcConfig, LetsNothingOutOfAComment) {
  const auto text = translated("lxc.\x1b[2J = a\rb\x01\nlxc.x = y\n");
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_TRUE(ConfigFile::parse(text, "x"));
}

TEST(LxcUsernet, KeepsLinesAndSaysWhyNot) {
  const std::string before = "# head\nalice veth br0 2\n\n@g  veth br1 1 # c\nbob ovs x 1\nx\n";
  const auto text = translate_lxc_usernet({"usernet", before});
  EXPECT_TRUE(contains(
      text,
      "# head\nalice veth br0 2\n\n@g  veth br1 1 # c\n# bob ovs x 1   -- the type is 'ovs'"));
  const auto lines = parse_net_conf("x", text);
  ASSERT_TRUE(lines) << text_of(lines);
  EXPECT_EQ(lines->size(), 2U);
}

}  // namespace
}  // namespace userns::frontend
