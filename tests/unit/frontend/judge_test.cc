#include "frontend/doctor/judge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "frontend/doctor/show.h"
#include "policy/text.h"

namespace userns::frontend::doctor {
namespace {

Program good(std::string_view name) {
  return {.name = name,
          .path = concat("/usr/bin/", name),
          .is_roots = true,
          .is_setuid = true,
          .version = concat(name, " (userns suite) 1.2")};
}

// A host on which nothing is wrong and all is set up.
Facts well() {
  Facts facts;
  facts.version = "1.2";
  facts.uid = 1000;
  facts.login = "alice";
  facts.kernel = "6.1.0-28-amd64";
  facts.sysctls = {{"user.max_user_namespaces", 15000},
                   {"fs.inotify.max_user_instances", 128},
                   {"fs.inotify.max_user_watches", 100000}};
  facts.namespaces = {{"mount", 0}, {"pid", 0}, {"time", 0}};
  facts.proc_mount = Trial{"proc", 0};
  facts.sys_mount = Trial{"sys", 0};
  facts.keys_used = 3;
  facts.keys_most = 200;
  facts.bounding = ~0ULL;
  facts.programs = {good("newuidmap"), good("newgidmap"), good("userns-net"),
                    good("userns-cgroup")};
  facts.subids = {Subids{.id = "subuid",
                         .source = "/etc/subuid",
                         .error = {},
                         .count = 65536,
                         .malformed_why = {}},
                  Subids{.id = "subgid",
                         .source = "/etc/subgid",
                         .error = {},
                         .count = 65536,
                         .malformed_why = {}}};
  facts.net_conf = {.path = "/etc/userns/net.conf", .is_there = true, .is_safe = true, .error = {}};
  facts.cgroup_conf = {
      .path = "/etc/userns/cgroup.conf", .is_there = true, .is_safe = true, .error = {}};
  facts.bridges = {{.name = "br0",
                    .count = 2,
                    .is_there = true,
                    .is_bridge = true,
                    .is_up = true,
                    .locks = true,
                    .ports = 1}};
  facts.cgroup_limits = "memory.max=4294967296";
  facts.cgroups = CgroupLayout::kV2;
  facts.has_systemd = facts.has_cgroup_unit = true;
  facts.delegated = concat(std::string_view("cpu io memory pids"));
  facts.runtime_dir = "/run/user/1000";
  facts.runtime_dir_is_own = facts.has_user_manager = facts.has_user_bus = true;
  facts.lingers = true;
  facts.containers = "/home/alice/.local/share/userns";
  facts.containers_there = "/home/alice";
  facts.can_write = true;
  facts.free_mib = 4096;
  facts.user_net = {{"pasta", "/usr/bin/pasta", {}}, {"slirp4netns", "/usr/bin/slirp4netns", {}}};
  facts.has_default_route = true;
  facts.profile = "/etc/apparmor.d/userns-run";
  facts.profile_is_there = true;
  facts.busybox = "/bin/busybox";
  facts.busybox_is_static = facts.can_open_tun = true;
  return facts;
}

const Finding* find(const Findings& findings, std::string_view id) {
  const auto found = std::ranges::find(findings, id, &Finding::id);
  return found == findings.end() ? nullptr : &*found;
}

TEST(Doctor, AWellHostPassesEveryCheck) {
  const auto findings = judge(well());
  for (const auto& finding : findings) {
    EXPECT_EQ(finding.level, Level::kPass) << finding.id << ": " << finding.text;
    EXPECT_TRUE(finding.fix.empty()) << finding.id;
  }
  EXPECT_TRUE(is_well(findings));
  EXPECT_GE(findings.size(), 26U);
}

TEST(Doctor, IdsAreStableWordsAndUnique) {
  std::set<std::string> seen;
  for (const auto& finding : judge(well())) {
    EXPECT_TRUE(seen.insert(concat(finding.id, " ", finding.subject)).second) << finding.id;
    EXPECT_EQ(finding.id.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string_view::npos)
        << finding.id;
  }
}

struct Case {
  std::string_view id;
  Level level;
  std::string_view text, fix;  // pieces
  std::function<void(Facts&)> spoil;
};

const Case kCases[] = {
    {"kernel", Level::kFail, "5.10", "5.11", [](Facts& f) { f.kernel = concat("5.10.0"); }},
    {"kernel", Level::kFail, "4.99", "5.11", [](Facts& f) { f.kernel = concat("4.99.0"); }},
    {"kernel", Level::kPass, "10.0", "", [](Facts& f) { f.kernel = concat("10.0-rc1"); }},
    {"userns", Level::kFail, "root alone", "unprivileged_userns_clone=1",
     [](Facts& f) {
       f.user_namespace.code = EPERM;
       f.sysctls.push_back({"kernel.unprivileged_userns_clone", 0});
     }},
    {"userns", Level::kFail, "is 0", "max_user_namespaces=15000",
     [](Facts& f) {
       f.user_namespace.code = ENOSPC;
       f.sysctls[0].value = 0;
     }},
    {"userns", Level::kFail, "15000", "raise", [](Facts& f) { f.user_namespace.code = ENOSPC; }},
    {"userns", Level::kFail, "seccomp", "clone",
     [](Facts& f) {
       f.user_namespace.code = EPERM;
       f.filtered = true;
     }},
    {"userns", Level::kFail, "has no user namespaces", "CONFIG_USER_NS",
     [](Facts& f) { f.user_namespace.code = EINVAL; }},
    {"apparmor-userns", Level::kFail, "AppArmor", "apparmor_parser -r",
     [](Facts& f) {
       f.sysctls.push_back({"kernel.apparmor_restrict_unprivileged_userns", 1});
       f.namespaces[0].code = EACCES;
     }},
    {"apparmor-userns", Level::kPass, "not for userns-run", "",
     [](Facts& f) { f.sysctls.push_back({"kernel.apparmor_restrict_unprivileged_userns", 1}); }},
    {"userns", Level::kFail, "see apparmor-userns", "the profile 'session'",
     [](Facts& f) {
       f.user_namespace.code = EACCES;
       f.apparmor_inside = f.apparmor = "session (enforce)";
     }},
    {"userns", Level::kFail, "a security module forbids", "DENIED",
     [](Facts& f) { f.user_namespace.code = EACCES; }},
    {"apparmor-userns", Level::kFail,
     "the AppArmor profile 'session', which userns-run is under, forbids user namespaces",
     "add the rule \"userns,\" to the profile 'session'",
     [](Facts& f) {
       f.user_namespace.code = EACCES;
       f.apparmor_inside = f.apparmor = "session (enforce)";
     }},
    {"apparmor-userns", Level::kFail,
     "'unprivileged_userns', which userns-run is under, forbids in "
     "user namespaces: mount namespaces",
     "apparmor_parser -r /etc/apparmor.d/userns-run",
     [](Facts& f) {
       f.namespaces[0].code = EPERM;
       f.apparmor_inside = "unprivileged_userns (enforce)";
     }},
    {"apparmor-userns", Level::kFail, "AppArmor",
     "cp /usr/local/share/userns/apparmor/userns-run.usr.local "
     "/etc/apparmor.d/userns-run.usr.local && apparmor_parser -r "
     "/etc/apparmor.d/userns-run.usr.local",
     [](Facts& f) {
       f.sysctls.push_back({"kernel.apparmor_restrict_unprivileged_userns", 1});
       f.namespaces[0].code = EACCES;
       f.profile = "/etc/apparmor.d/userns-run.usr.local";
       f.profile_is_there = false;
       f.profile_source = "/usr/local/share/userns/apparmor/userns-run.usr.local";
     }},
    {"apparmor-userns", Level::kFail, "AppArmor", "write a profile for this userns-run",
     [](Facts& f) {
       f.sysctls.push_back({"kernel.apparmor_restrict_unprivileged_userns", 1});
       f.namespaces[0].code = EACCES;
       f.profile_is_there = false;
     }},
    {"apparmor-userns", Level::kPass, "does not restrict user namespaces (profile 'userns-run", "",
     [](Facts& f) { f.apparmor_inside = f.apparmor = "userns-run (unconfined)"; }},
    {"namespaces", Level::kWarn, "time", "--share",
     [](Facts& f) { f.namespaces[2].code = EINVAL; }},
    {"namespaces", Level::kFail, "pid", "max_*_namespaces",
     [](Facts& f) { f.namespaces[1].code = ENOSPC; }},
    {"namespaces", Level::kFail, "mount", "--share",
     [](Facts& f) { f.namespaces[0].code = EPERM; }},
    {"proc", Level::kFail, "/proc/kcore", "systempaths",
     [](Facts& f) {
       f.proc_mount->code = EPERM;
       f.over_proc = {"/proc/kcore"};
     }},
    {"hidepid", Level::kWarn, "hidepid=2", "without", [](Facts& f) { f.hidepid = concat("2"); }},
    {"keys", Level::kWarn, "180 of 200", "maxkeys", [](Facts& f) { f.keys_used = 180; }},
    {"inotify", Level::kWarn, "64 instances", "max_user_instances",
     [](Facts& f) { f.sysctls[1].value = 64; }},
    {"no-new-privs", Level::kFail, "no_new_privs", "--map-self",
     [](Facts& f) { f.no_new_privs = true; }},
    {"bounding-set", Level::kFail, "CAP_SETUID", "CapabilityBoundingSet",
     [](Facts& f) { f.bounding = ~(1ULL << 7U); }},
    {"seccomp", Level::kWarn, "filter", "outside", [](Facts& f) { f.filtered = true; }},
    {"runtime-dir", Level::kWarn, "not set", "enable-linger alice",
     [](Facts& f) { f.runtime_dir.clear(); }},
    {"user-manager", Level::kNote, "no service manager", "linger",
     [](Facts& f) { f.has_user_manager = false; }},
    {"user-manager", Level::kWarn, "not its bus", "dbus-user-session",
     [](Facts& f) { f.has_user_bus = false; }},
    {"user-manager", Level::kNote, "linger is off", "loginctl enable-linger alice",
     [](Facts& f) { f.lingers = false; }},
    {"newuidmap", Level::kFail, "not installed", "userns-helpers",
     [](Facts& f) { f.programs[0].path.clear(); }},
    {"newuidmap", Level::kFail, "lost its setuid", "chmod u+s",
     [](Facts& f) { f.programs[0].is_setuid = false; }},
    {"newuidmap", Level::kPass, "file capabilities", "",
     [](Facts& f) {
       f.programs[0].is_setuid = false;
       f.programs[0].has_file_caps = true;
     }},
    {"newuidmap", Level::kFail, "nosuid", "remount",
     [](Facts& f) { f.programs[0].on_nosuid = true; }},
    {"newuidmap", Level::kFail, "not root's", "chown",
     [](Facts& f) { f.programs[0].is_roots = false; }},
    {"newgidmap", Level::kWarn, "another project's", "userns-helpers",
     [](Facts& f) { f.programs[1].version.clear(); }},
    {"userns-net", Level::kNote, "not installed", "userns-helpers",
     [](Facts& f) { f.programs[2].path.clear(); }},
    {"userns-net", Level::kFail, "--version", "anew",
     [](Facts& f) { f.programs[2].version.clear(); }},
    {"userns-cgroup", Level::kWarn, "version 1.1", "same version",
     [](Facts& f) {
       f.programs[3].version = concat(std::string_view("userns-cgroup (userns suite) 1.1"));
     }},
    {"subuid", Level::kFail, "alice has none", "userns-policy grant alice --ids 65536",
     [](Facts& f) { f.subids[0].count = 0; }},
    {"subgid", Level::kWarn, "1000 in /etc/subgid", "--add-subgids",
     [](Facts& f) { f.subids[1].count = 1000; }},
    {"subuid", Level::kFail, "/etc/subuid:3 grants nothing: count", "userns-policy edit subuid",
     [](Facts& f) {
       f.subids[0].count = 0;
       f.subids[0].malformed_line = 3;
       f.subids[0].malformed_why = concat(std::string_view("count is 0"));
     }},
    {"subuid", Level::kFail, "SU-NSS", "userns-policy check",
     [](Facts& f) { f.subids[0].error = concat(std::string_view("x [SU-NSS]")); }},
    {"net-conf", Level::kNote, "no bridge", "--net BR:1", [](Facts& f) { f.bridges.clear(); }},
    {"net-conf", Level::kFail, "net.conf:1:1", "userns-policy check",
     [](Facts& f) {
       f.net_conf.error = concat(std::string_view("/etc/userns/net.conf:1:1: what is this"));
     }},
    {"net-conf", Level::kFail, "TF-PATH", "chown",
     [](Facts& f) {
       f.net_conf.is_safe = false;
       f.net_conf.error = concat(std::string_view("cannot be trusted [TF-PATH]"));
     }},
    {"net-conf", Level::kNote, "I cannot see whether", "outside of this user namespace",
     [](Facts& f) {
       f.net_conf.is_safe = false;
       f.is_nested = true;
       f.net_conf.error = concat(std::string_view("cannot be trusted [TF-PATH]"));
     }},
    {"cgroup-conf", Level::kFail, "for trial: no [CG-BASE]", "userns-policy check",
     [](Facts& f) {
       f.cgroup_conf.is_unseen = true;
       f.cgroup_conf.error = concat(std::string_view("Permission denied"));
       f.cgroup_error = concat(std::string_view("no [CG-BASE]"));
     }},
    {"cgroup-conf", Level::kNote, "no line for alice", "ask the administrator",
     [](Facts& f) {
       f.cgroup_conf.is_unseen = true;
       f.cgroup_conf.error = concat(std::string_view("Permission denied"));
       f.cgroup_error = concat(std::string_view("no [CG-POLICY]"));
     }},
    {"newuidmap", Level::kFail, "can be written by", "chmod go-w",
     [](Facts& f) { f.programs[0].others_write = true; }},
    {"newuidmap", Level::kNote, "no effect here", "outside of this user namespace",
     [](Facts& f) { f.programs[0].owner_is_unknown = true; }},
    {"userns-net", Level::kFail, "within 3 s", "anew",
     [](Facts& f) { f.programs[2].hangs = true; }},
    {"containers", Level::kFail, "no inodes are free", "make room",
     [](Facts& f) { f.no_inodes = true; }},
    {"containers", Level::kFail, "no blocks are free", "make room",
     [](Facts& f) { f.free_mib = 0; }},
    {"containers", Level::kFail, "others can write", "XDG_DATA_HOME",
     [](Facts& f) { f.store_error = concat(std::string_view("others can write")); }},
    {"subuid", Level::kNote, "root has no uid", "outside of this user namespace",
     [](Facts& f) {
       f.is_nested = true;
       f.subids[0].error = concat(std::string_view("x [TF-PATH]"));
     }},
    {"subuid", Level::kFail, "none of the 65536", "--map 100000:200000",
     [](Facts& f) {
       f.own_ids = 65536;
       f.subids[0].count = 0;
       f.subids[0].unmapped = 65536;
     }},
    {"subuid", Level::kWarn, "50000 in /etc/subuid (15536 more are not ids of this user namespace)",
     "with more ids than 65536",
     [](Facts& f) {
       f.own_ids = 65536;
       f.subids[0].count = 50000;
       f.subids[0].unmapped = 15536;
     }},
    {"sys", Level::kPass, "the /sys of this one", "",
     [](Facts& f) { f.sys_mount = Trial{"sys", EPERM}; }},
    {"seccomp", Level::kPass, "a container of userns-run", "",
     [](Facts& f) { f.filtered = f.is_in_ours = true; }},
    {"user-network", Level::kWarn, "/dev/net/tun", "with --nesting",
     [](Facts& f) {
       f.is_in_ours = true;
       f.can_open_tun = false;
     }},
    {"seccomp", Level::kFail, "openat2(2)", "loosen", [](Facts& f) { f.openat2_code = ENOSYS; }},
    {"bounding-set", Level::kNote, "no /proc", "mount -t proc",
     [](Facts& f) { f.has_proc = false; }},
    {"bridge", Level::kFail, "does not exist", "ip link add br0",
     [](Facts& f) { f.bridges[0].is_there = false; }},
    {"bridge", Level::kFail, "not a bridge", "name a bridge",
     [](Facts& f) { f.bridges[0].is_bridge = false; }},
    {"bridge", Level::kFail, "down", "ip link set br0 up",
     [](Facts& f) { f.bridges[0].is_up = false; }},
    {"bridge", Level::kFail, "does not filter VLANs", "vlan_filtering 1",
     [](Facts& f) { f.bridges[0].sets_vlan = true; }},
    {"bridge", Level::kFail, "above the bridge's own 1500", "mtu 9000",
     [](Facts& f) { f.bridges[0].most_mtu = 9000, f.bridges[0].mtu = 1500; }},
    {"cgroups", Level::kFail, "/sys/fs/cgroup/none, which is not a cgroup", "leave base out",
     [](Facts& f) {
       f.has_own_base = true;
       f.lost_base = "/sys/fs/cgroup/none";
     }},
    {"apparmor-userns", Level::kFail, "AppArmor", "apparmor_parser -r",
     [](Facts& f) {
       f.sysctls.push_back({"kernel.apparmor_restrict_unprivileged_userns", 1});
       f.user_namespace.code = EACCES;
     }},
    {"bridge", Level::kFail, "cannot lock a port of br0", "5.18",
     [](Facts& f) { f.kernel = concat("5.17.3"); }},
    {"bridge", Level::kPass, "br0", "",
     [](Facts& f) {
       f.kernel = concat("5.17.3");
       f.bridges[0].locks = false;
     }},
    {"bridge", Level::kWarn, "no port", "master br0", [](Facts& f) { f.bridges[0].ports = 0; }},
    {"bridge", Level::kFail, "for trial: not locked", "see the message",
     [](Facts& f) { f.bridges[0].error = "not locked [NR-PORT]"; }},
    {"bridge", Level::kWarn, "all 2 NICs", "end a container",
     [](Facts& f) { f.bridges[0].error = "all 2 NICs are in use [NR-QUOTA]"; }},
    {"cgroup-conf", Level::kNote, "no line for alice", "--cgroup",
     [](Facts& f) { f.cgroup_limits.clear(); }},
    {"cgroup-conf", Level::kFail, "for trial: no way", "see the message",
     [](Facts& f) { f.cgroup_error = "no way [CG-FROM]"; }},
    {"cgroup-conf", Level::kWarn, "all in use", "end some",
     [](Facts& f) { f.cgroup_error = "all in use [CG-FULL]"; }},
    {"cgroups", Level::kWarn, "hybrid", "unified",
     [](Facts& f) { f.cgroups = CgroupLayout::kHybrid; }},
    {"cgroup-unit", Level::kFail, "does not run", "systemctl enable",
     [](Facts& f) { f.has_cgroup_unit = false; }},
    {"cgroup-unit", Level::kNote, "does not run", "systemctl enable",
     [](Facts& f) {
       f.has_cgroup_unit = false;
       f.cgroup_limits.clear();
     }},
    {"delegation", Level::kNote, "cpu io",
     "Delegate=", [](Facts& f) { f.delegated = concat(std::string_view("memory pids")); }},
    {"containers", Level::kFail, "no home", "HOME", [](Facts& f) { f.containers.clear(); }},
    {"containers", Level::kFail, "write", "XDG_DATA_HOME", [](Facts& f) { f.can_write = false; }},
    {"containers", Level::kFail, "is on NFS", "--path DIR", [](Facts& f) { f.remote = "NFS"; }},
    {"containers", Level::kFail, "noexec", "XDG_DATA_HOME", [](Facts& f) { f.noexec = true; }},
    {"containers", Level::kWarn, "nosuid", "XDG_DATA_HOME", [](Facts& f) { f.nosuid = true; }},
    {"containers", Level::kWarn, "10 MiB", "room", [](Facts& f) { f.free_mib = 10; }},
    {"instant", Level::kPass, "ids of its own", "", [](Facts& f) { f.idmap_error = ""; }},
    {"instant", Level::kNote, "are copied: it cannot", "userns-idmap",
     [](Facts& f) { f.idmap_error = "it cannot"; }},
    {"user-network", Level::kNote, "neither", "passt", [](Facts& f) { f.user_net.clear(); }},
    {"user-network", Level::kPass, "/usr/bin/pasta works", "", [](Facts&) {}},
    {"user-network", Level::kPass, "not tried: the host itself has no default route", "",
     [](Facts& f) { f.has_default_route = false; }},
    {"user-network", Level::kNote,
     "/usr/bin/slirp4netns works, and takes the place of /usr/bin/pasta, which does not: no way",
     "DENIED", [](Facts& f) { f.user_net[0].refusal = "no way"; }},
    {"user-network", Level::kWarn, "no --net user: no way; nor so", "DENIED",
     [](Facts& f) {
       f.user_net[0].refusal = "no way";
       f.user_net[1].refusal = "nor so";
     }},
    {"user-network", Level::kWarn, "no --net user: no way", "install slirp4netns",
     [](Facts& f) {
       f.user_net.pop_back();
       f.user_net[0].refusal = "no way";
     }},
    {"user-network", Level::kWarn, "tun", "modprobe", [](Facts& f) { f.can_open_tun = false; }},
    {"busybox", Level::kNote, "not static", "busybox-static",
     [](Facts& f) { f.busybox_is_static = false; }},
    {"userns-names", Level::kWarn, "is not root's: helpers know", "mode 0711",
     [](Facts& f) { f.names_fault = "x is not root's"; }},
    {"user-database", Level::kWarn, "within 10 s, asked for the group 'lab'", "getent passwd 1000",
     [](Facts& f) { f.unanswered = concat("the group 'lab'"); }},
    {"start", Level::kWarn, "not tried", "correct that first",
     [](Facts& f) { f.unanswered = concat("the group 'lab'"); }},
    {"start", Level::kFail, "boom", "failures above",
     [](Facts& f) { f.start_error = concat("boom"); }},
};

TEST(Doctor, WhatIsWrongIsFoundAndSaysWhatToDo) {
  for (const auto& [id, level, text, fix, spoil] : kCases) {
    Facts facts = well();
    spoil(facts);
    const auto findings = judge(facts);
    const auto* const finding = find(findings, id);
    ASSERT_NE(finding, nullptr) << id;
    EXPECT_EQ(finding->level, level) << id << ": " << finding->text;
    EXPECT_NE(finding->text.find(text), std::string::npos) << id << ": " << finding->text;
    EXPECT_NE(finding->fix.find(fix), std::string::npos) << id << ": " << finding->fix;
    EXPECT_EQ(is_well(findings), level != Level::kFail) << id;
  }
}

TEST(Doctor, EveryCheckThatCanFailIsTried) {
  for (const auto& finding : judge(well()))
    EXPECT_TRUE(
        std::ranges::any_of(kCases, [&](const Case& one) { return one.id == finding.id; }) ||
        finding.id == "sys")
        << finding.id;
}

TEST(Doctor, NothingKnownIsNotTakenForGood) {
  const auto findings = judge(Facts{});
  EXPECT_FALSE(is_well(findings));
  EXPECT_EQ(find(findings, "kernel")->level, Level::kFail);
  EXPECT_EQ(find(findings, "subuid"), nullptr);
}

TEST(Doctor, TheTextIsAlignedAndCountsAtTheEnd) {
  Facts facts = well();
  facts.bridges[0].is_up = false;
  facts.busybox.clear();
  const auto text = to_text(facts, judge(facts), false);
  EXPECT_NE(text.find("\n  FAIL  bridge br0"), std::string::npos) << text;
  EXPECT_NE(text.find("-> ip link set br0 up\n"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with(", 1 not set up and not needed, 1 failed\n")) << text;
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_NE(to_text(facts, judge(facts), true).find("\033[1;31mFAIL"), std::string::npos);
}

TEST(Doctor, ForeignBytesReachNoTerminalAndBreakNoJson) {
  Facts facts = well();
  facts.start_error = "a\033[2Jb\nc\xff";
  EXPECT_EQ(to_text(facts, judge(facts), false).find('\033'), std::string::npos);
  const auto json = nlohmann::json::parse(to_json(facts, judge(facts)));
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["checks"].back()["id"], "start");
  EXPECT_EQ(json["checks"].back()["status"], "fail");
}

}  // namespace
}  // namespace userns::frontend::doctor
