#include "frontend/doctor/judge.h"

#include <linux/capability.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "frontend/doctor/directory.h"
#include "frontend/run/apparmor.h"
#include "policy/text.h"

namespace userns::frontend::doctor {
namespace {

constexpr std::uint64_t kBlock = 65536;  // ids that a distribution needs

// One finding is begun with its id and ended with what is the case.
class Check {
 public:
  Check(Findings& all, std::string_view group, std::string_view id, std::string_view subject = {})
      : all_(all),
        finding_{.group = group, .id = id, .subject = std::string(subject), .text = {}, .fix = {}} {
  }
  void pass(std::string text) { end(Level::kPass, std::move(text), {}); }
  void note(std::string text, std::string fix) {
    end(Level::kNote, std::move(text), std::move(fix));
  }
  void warn(std::string text, std::string fix) {
    end(Level::kWarn, std::move(text), std::move(fix));
  }
  void fail(std::string text, std::string fix) {
    end(Level::kFail, std::move(text), std::move(fix));
  }

 private:
  void end(Level level, std::string text, std::string fix) {
    finding_.level = level;
    finding_.text = std::move(text);
    finding_.fix = std::move(fix);
    all_.push_back(std::move(finding_));
  }
  Findings& all_;
  Finding finding_;
};

std::string_view text_of(int code) { return ::strerrordesc_np(code); }

std::string who(const Facts& facts) {
  return facts.login.empty() ? concat(facts.uid) : facts.login;
}

std::optional<std::uint64_t> sysctl(const Facts& facts, std::string_view name) {
  const auto found = std::ranges::find(facts.sysctls, name, &Sysctl::name);
  return found == facts.sysctls.end() ? std::nullopt : found->value;
}

bool is(const Facts& facts, std::string_view name, std::uint64_t value) {
  return sysctl(facts, name) == value;
}

// Why files cannot be looked at as the helpers do; a check of its own says so, and others say that
// they do not know.
struct Blind {
  std::string why, fix;
};
std::optional<Blind> blindness(const Facts& facts) {
  if (facts.openat2_code != 0)
    return Blind{concat("openat2(2) is refused here: ", text_of(facts.openat2_code)),
                 "loosen the system call filter outside, or boot Linux 5.11 or newer"};
  if (!facts.has_proc) return Blind{"no /proc is mounted", "mount -t proc proc /proc"};
  if (facts.is_nested)
    return Blind{"root has no uid in this user namespace",
                 "run it outside of this user namespace; --map-self works without helpers"};
  return std::nullopt;
}

// --- the kernel -----------------------------------------------------------------------------
constexpr std::string_view kKernel = "Kernel";

using Version = std::pair<std::uint64_t, std::uint64_t>;
// openat2, close_range, pidfds, clone3 and overlayfs in user namespaces.
constexpr Version kOldest{5, 11};
// IFLA_BRPORT_LOCKED.
constexpr Version kLocksPorts{5, 18};

Version version_of(std::string_view kernel) {
  const auto major = parse_decimal(take_until(kernel, '.')).value_or(0);
  return {major,
          parse_decimal(kernel.substr(0, kernel.find_first_not_of("0123456789"))).value_or(0)};
}

void kernel(const Facts& facts, Findings& all) {
  Check check(all, kKernel, "kernel");
  if (version_of(facts.kernel) >= kOldest) return check.pass(concat("Linux ", facts.kernel));
  check.fail(concat("Linux ", facts.kernel, " lacks system calls that a start needs"),
             "boot Linux 5.11 or newer");
}

constexpr std::string_view kPersist = "; to keep it, in a file of /etc/sysctl.d";

bool is_refused(const Trial& trial) { return trial.code == EPERM || trial.code == EACCES; }

// The log has what a security module refused, and by which profile.
constexpr std::string_view kSeeDenials =
    "look for apparmor=\"DENIED\" in the kernel's log (journalctl -k -g DENIED, as root)";

// How userns-run comes to its own profile, which allows what others may not.
std::string load_profile(const Facts& facts) {
  const auto load = concat("apparmor_parser -r ", facts.profile);
  if (facts.profile_is_there) return concat("load the profile of userns-run: ", load);
  if (!facts.profile_source.empty())
    return concat("give userns-run its profile: cp ", facts.profile_source, " ", facts.profile,
                  " && ", load);
  return concat("write a profile for this userns-run with the rule \"userns,\" to ", facts.profile,
                ", and load it: ", load);
}

// The kernel gives this one to a program without a profile once it has made a user namespace.
constexpr std::string_view kForOthers = "unprivileged_userns";

std::string see_profile(const Facts& facts) {
  if (profile_name(facts.apparmor_inside) == kForOthers) return load_profile(facts);
  return concat("add the rule \"userns,\" to the profile ",
                quoted(profile_name(facts.apparmor_inside)),
                ", or start userns-run from a session outside of it");
}

void user_namespace(const Facts& facts, Findings& all) {
  Check check(all, kKernel, "userns");
  const int code = facts.user_namespace.code;
  if (code == 0) return check.pass("user namespaces can be made");
  if (is(facts, "kernel.unprivileged_userns_clone", 0))
    return check.fail(
        "the kernel gives user namespaces to root alone (kernel.unprivileged_userns_clone is 0)",
        concat("sysctl -w kernel.unprivileged_userns_clone=1", kPersist));
  if (is(facts, "user.max_user_namespaces", 0))
    return check.fail("no user namespace may be made (user.max_user_namespaces is 0)",
                      concat("sysctl -w user.max_user_namespaces=15000", kPersist));
  if (code == ENOSPC)
    return check.fail(
        concat("the limit on user namespaces has been reached (user.max_user_namespaces is ",
               sysctl(facts, "user.max_user_namespaces").value_or(0),
               ", or a limit of a container above)"),
        "end some, or raise the limit with sysctl -w");
  if (code == EPERM && facts.filtered)
    return check.fail(
        "a seccomp filter, as container engines set one, forbids user namespaces",
        "start the surrounding container with a profile that allows clone, unshare and mount");
  if (code == EINVAL || code == ENOSYS)
    return check.fail("the kernel has no user namespaces",
                      "use a kernel built with CONFIG_USER_NS");
  if (is_refused(facts.user_namespace) && is_enforced(facts.apparmor_inside))
    return check.fail(
        concat("no user namespace can be made: ", text_of(code), "; see apparmor-userns"),
        see_profile(facts));
  if (code == EACCES)
    return check.fail(concat("a security module forbids user namespaces: ", text_of(code)),
                      std::string(kSeeDenials));
  check.fail(concat("no user namespace can be made: ", text_of(code)),
             "leave a chroot, and look for a security module that forbids it (dmesg)");
}

void apparmor(const Facts& facts, Findings& all) {
  Check check(all, kKernel, "apparmor-userns");
  std::string refused = is_refused(facts.user_namespace) ? "user namespaces" : "";
  for (const auto& trial : facts.namespaces)
    if (is_refused(trial))
      refused += concat(refused.empty() ? "in user namespaces: " : ", ", trial.what, " namespaces");
  if (!refused.empty() && is_enforced(facts.apparmor_inside))
    return check.fail(concat("the AppArmor profile ", quoted(profile_name(facts.apparmor_inside)),
                             ", which userns-run is under, forbids ", refused),
                      see_profile(facts));
  const bool restricts = is(facts, "kernel.apparmor_restrict_unprivileged_userns", 1);
  if (!refused.empty() && restricts)
    return check.fail(
        "AppArmor takes the rights of root away in user namespaces of programs without a profile",
        concat(load_profile(facts),
               "; or sysctl -w "
               "kernel.apparmor_restrict_unprivileged_userns=0"));
  const auto profile =
      facts.apparmor.empty() ? std::string{} : concat(" (profile ", quoted(facts.apparmor), ")");
  if (restricts) return check.pass(concat("restricted for others, not for userns-run", profile));
  check.pass(concat("AppArmor does not restrict user namespaces", profile));
}

void namespaces(const Facts& facts, Findings& all) {
  if (facts.namespaces.empty()) return;
  Check check(all, kKernel, "namespaces");
  std::string good, bad;
  bool full = false, lacks_mount = false;
  for (const auto& trial : facts.namespaces) {
    auto& list = trial.code == 0 ? good : bad;
    list += concat(list.empty() ? "" : ", ", trial.what,
                   trial.code == 0 ? "" : concat(" (", text_of(trial.code), ")"));
    full |= trial.code == ENOSPC;
    lacks_mount |= trial.code != 0 && trial.what == "mount";
  }
  if (bad.empty()) return check.pass(good);
  const std::string fix = full
                              ? "raise user.max_*_namespaces with sysctl -w, or end some containers"
                              : "leave them out with --share, or use a kernel that has them";
  if (lacks_mount || full) return check.fail(concat("cannot be made: ", bad), fix);
  check.warn(concat("cannot be made: ", bad), fix);
}

// One of a few mounts that the kernel allows only where the host's own is not hidden from us.
void fresh_mount(const Facts& facts, Findings& all, std::string_view id,
                 const std::optional<Trial>& trial) {
  if (!trial) return;
  Check check(all, kKernel, id);
  if (trial->code != 0 && !facts.has_proc && id == "proc")
    return check.fail(
        "no /proc is mounted here, and the kernel gives a container one only if this "
        "one has one",
        "mount -t proc proc /proc");
  if (trial->code == 0) return check.pass(concat("a container can have a /", id, " of its own"));
  if (id == "sys" && facts.start_error.empty())
    return check.pass("a container has the /sys of this one, read-only, and not one of its own");
  std::string over;
  for (const auto& path : facts.over_proc) over += concat(over.empty() ? "" : " ", path);
  check.fail(
      concat(
          "a container cannot have a /", id, " of its own: ", text_of(trial->code),
          over.empty() || id != "proc" ? "" : concat("; parts of the one here are hidden: ", over)),
      "the surrounding container must not mask it (docker: --security-opt systempaths=unconfined; "
      "podman: "
      "--security-opt unmask=ALL)");
}

void hidepid(const Facts& facts, Findings& all) {
  Check check(all, kKernel, "hidepid");
  if (facts.hidepid.empty() || facts.hidepid == "0" || facts.hidepid == "off")
    return check.pass("/proc shows all processes");
  check.warn(concat("/proc is mounted with hidepid=", facts.hidepid,
                    ": programs that look for other users' processes see none; starts work"),
             "nothing, or mount /proc without hidepid");
}

void keys(const Facts& facts, Findings& all) {
  if (facts.keys_most == 0) return;
  Check check(all, kKernel, "keys");
  const auto said = concat(facts.keys_used, " of ", facts.keys_most, " kernel keys are used");
  if (facts.keys_used * 10 < facts.keys_most * 9) return check.pass(said);
  check.warn(concat(said, ": the next session keyrings fail with 'Disk quota exceeded'"),
             concat("sysctl -w kernel.keys.maxkeys=2000 kernel.keys.maxbytes=2000000", kPersist));
}

void inotify(const Facts& facts, Findings& all) {
  constexpr std::uint64_t kFew = 128, kFewWatches = 8192;
  const auto instances = sysctl(facts, "fs.inotify.max_user_instances");
  const auto watches = sysctl(facts, "fs.inotify.max_user_watches");
  if (!instances || !watches) return;
  Check check(all, kKernel, "inotify");
  const auto said = concat(*instances, " instances and ", *watches, " watches for each user");
  if (*instances >= kFew && *watches >= kFewWatches) return check.pass(said);
  check.warn(
      concat(said, ": few for a container with a service manager"),
      concat("sysctl -w fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288",
             kPersist));
}

// --- who calls ------------------------------------------------------------------------------
constexpr std::string_view kCaller = "Caller";

void no_new_privs(const Facts& facts, Findings& all) {
  Check check(all, kCaller, "no-new-privs");
  if (!facts.no_new_privs) return check.pass("setuid programs work from here");
  check.fail("no_new_privs is set, so that setuid helpers have no effect",
             "start from a session without it (systemd: NoNewPrivileges=no), or use --map-self");
}

void bounding(const Facts& facts, Findings& all) {
  struct Need {
    std::string_view name;
    unsigned bit;
  };
  constexpr Need kNeeds[] = {{"CAP_SETUID", CAP_SETUID},
                             {"CAP_SETGID", CAP_SETGID},
                             {"CAP_NET_ADMIN", CAP_NET_ADMIN},
                             {"CAP_CHOWN", CAP_CHOWN},
                             {"CAP_DAC_OVERRIDE", CAP_DAC_OVERRIDE}};
  Check check(all, kCaller, "bounding-set");
  if (const auto blind = blindness(facts); blind && !facts.is_nested)
    return check.note(concat("cannot be seen: ", blind->why), blind->fix);
  std::string missing;
  for (const auto& need : kNeeds)
    if ((facts.bounding >> need.bit & 1U) == 0)
      missing += concat(missing.empty() ? "" : ", ", need.name);
  if (missing.empty()) return check.pass("helpers can get their capabilities");
  check.fail(
      concat("the capability bounding set lacks ", missing, ": helpers that need them refuse"),
      "start from a session, or a surrounding container, that has them (systemd: "
      "CapabilityBoundingSet=)");
}

void seccomp(const Facts& facts, Findings& all) {
  Check check(all, kCaller, "seccomp");
  if (facts.openat2_code != 0)
    return check.fail(concat("openat2(2), by which all parts of the suite open files, is refused: ",
                             text_of(facts.openat2_code)),
                      "loosen the system call filter outside, or boot Linux 5.11 or newer");
  if (!facts.filtered) return check.pass("no system call filter is on this session");
  if (facts.is_in_ours && facts.start_error.empty())
    return check.pass("this is a container of userns-run, whose filter lets containers start");
  check.warn(
      "a seccomp filter is on this session: a surrounding container engine or service may refuse "
      "mount or clone",
      "if starts fail with 'Operation not permitted', loosen the filter outside");
}

void runtime_dir(const Facts& facts, Findings& all) {
  if (!facts.has_systemd && facts.runtime_dir.empty()) return;
  Check check(all, kCaller, "runtime-dir");
  if (!facts.runtime_dir.empty() && facts.runtime_dir_is_own) return check.pass(facts.runtime_dir);
  check.warn(
      facts.runtime_dir.empty()
          ? "XDG_RUNTIME_DIR is not set"
          : concat(facts.runtime_dir, " (XDG_RUNTIME_DIR) is not there, or not the caller's"),
      concat("log in through PAM (ssh, login, machinectl shell), or: loginctl enable-linger ",
             who(facts), " and export XDG_RUNTIME_DIR=/run/user/", facts.uid));
}

void user_manager(const Facts& facts, Findings& all) {
  Check check(all, kCaller, "user-manager");
  const std::string fix =
      concat("loginctl enable-linger ", who(facts), ", and install dbus-user-session");
  if (facts.has_user_manager && facts.has_user_bus)
    return facts.lingers
               ? check.pass("the user's service manager and its bus are there, and linger is on")
               : check.note(
                     "linger is off: the user's service manager ends after logout, and with it "
                     "containers of autostart and --cgroup systemd",
                     concat("loginctl enable-linger ", who(facts)));
  if (facts.has_user_manager)
    return check.warn("the user's service manager is there, but not its bus", fix);
  check.note("no service manager of this user's runs: no --cgroup systemd, no autostart", fix);
}

// --- helpers --------------------------------------------------------------------------------
constexpr std::string_view kHelpers = "Helpers";

std::string why_needed(std::string_view name) {
  if (name == "userns-net") return "for --net bridge=BR";
  if (name == "userns-cgroup") return "for limits by the administrator's policy";
  return "for more than one id";
}

void program(const Facts& facts, const Program& program, Findings& all) {
  Check check(all, kHelpers, program.name);
  const bool for_ids = program.name.starts_with("new");
  if (program.path.empty()) {
    const auto text = concat("not installed; it is ", why_needed(program.name));
    const std::string fix = "install the package userns-helpers, or run meson install as root";
    return for_ids ? check.fail(text, fix) : check.note(text, fix);
  }
  if (program.on_nosuid)
    return check.fail(concat(program.path, " is on a file system mounted nosuid"),
                      concat("mount -o remount,suid $(findmnt -no TARGET -T ", program.path,
                             "), or install elsewhere"));
  if (program.hangs)
    return check.fail(concat(program.path, " did not answer to --version within 3 s"),
                      "install userns-helpers anew, and see whether its file system answers");
  if (program.owner_is_unknown)
    return check.note(concat(program.path,
                             " is of an owner without a uid in this user namespace: "
                             "setuid has no effect here"),
                      "start from outside of this user namespace, or use --map-self");
  if (program.others_write)
    return check.fail(concat(program.path,
                             " can be written by its group or by others, who can "
                             "become root by it"),
                      concat("install it anew, and chmod go-w ", program.path));
  if (!program.is_roots)
    return check.fail(concat(program.path, " is not root's"),
                      concat("install it anew: chown root:root ", program.path));
  if (!program.is_setuid && !program.has_file_caps)
    return check.fail(concat(program.path, " has lost its setuid bit"),
                      concat("chmod u+s ", program.path));
  const std::string_view how = program.is_setuid ? "setuid" : "file capabilities";
  const auto ours = concat(program.name, " (userns suite) ");
  if (!program.version.starts_with(ours))
    return for_ids ? check.warn(concat(program.path, " (", how,
                                       ") is another project's; it works, and says less"),
                                "install userns-helpers in its place")
                   : check.fail(concat(program.path, " does not answer to --version"),
                                "install userns-helpers anew");
  const auto version = program.version.substr(ours.size());
  if (version != facts.version)
    return check.warn(
        concat(program.path, " is of version ", version, ", userns-run of ", facts.version),
        "install both from the same version");
  check.pass(concat(program.path, ", ", how, ", ", version));
}

void names(const Facts& facts, Findings& all) {
  Check check(all, kHelpers, "userns-names");
  if (facts.names_fault.empty()) return check.pass("helpers can ask NSS for names");
  check.warn(
      concat(facts.names_fault, ": helpers know the names in /etc/passwd and /etc/group alone"),
      "install userns-helpers anew: the program is root's, mode 0711");
}

// --- ids ------------------------------------------------------------------------------------
constexpr std::string_view kIds = "Ids";

std::string grant_ids(const Facts& facts, std::string_view option) {
  return concat("userns-policy grant ", who(facts), " --ids 65536, or usermod ", option,
                " FIRST-LAST ", who(facts));
}

// A container has the ids of its own map and no others, whatever the files in it say.
std::string more_ids(const Facts& facts, std::string_view option) {
  if (facts.own_ids >= 2 * kBlock) return grant_ids(facts, option);
  return concat("start the container around this one with more ids than ", facts.own_ids,
                ", such as --map 100000:200000; or write a line with ids that it has, such as ",
                who(facts), ":10000:50000");
}

void user_database(const Facts& facts, Findings& all) {
  Check check(all, kIds, "user-database");
  if (facts.unanswered.empty()) return check.pass("answered in time");
  check.warn(concat("did not answer within ", Directory::kPatience.count(), " s, asked for ",
                    facts.unanswered, ": a start asks it, too, and waits for as long as it takes"),
             concat("see what passwd, group and subid name in /etc/nsswitch.conf, and whether that "
                    "service runs: getent passwd ",
                    facts.uid));
}

void subids(const Facts& facts, const Subids& subids, Findings& all) {
  Check check(all, kIds, subids.id);
  const std::string_view option = subids.id == "subuid" ? "--add-subuids" : "--add-subgids";
  if (const auto blind = blindness(facts); blind && !subids.error.empty())
    return check.note(concat("cannot be seen from here: ", blind->why), blind->fix);
  if (!subids.error.empty())
    return check.fail(concat("cannot be read: ", subids.error),
                      "ask the administrator: userns-policy check");
  if (subids.malformed_line != 0 && subids.count < kBlock)
    return check.fail(concat(subids.source, ":", subids.malformed_line,
                             " grants nothing: ", subids.malformed_why),
                      concat("correct the line: userns-policy edit ", subids.id));
  if (subids.count == 0 && subids.unmapped != 0)
    return check.fail(concat("none of the ", subids.unmapped, " in ", subids.source,
                             " is an id of this user namespace; --map-self works without"),
                      more_ids(facts, option));
  if (subids.count == 0)
    return check.fail(
        concat(who(facts), " has none in ", subids.source, "; --map-self works without"),
        more_ids(facts, option));
  if (subids.count < kBlock)
    return check.warn(
        concat(subids.count, " in ", subids.source,
               subids.unmapped == 0
                   ? ""
                   : concat(" (", subids.unmapped, " more are not ids of this user namespace)"),
               ": a distribution needs 65536 (nobody is 65534)"),
        more_ids(facts, option));
  check.pass(concat(subids.count, " in ", subids.source));
}

// --- policy ---------------------------------------------------------------------------------
constexpr std::string_view kPolicy = "Policy";

// False where the file itself is what is wrong; that has been said.
bool is_readable(const Facts& facts, const PolicyFile& file, Findings& all, std::string_view id) {
  Check check(all, kPolicy, id);
  if (file.error.empty()) return true;
  if (file.is_unseen) {
    check.note(concat("as this user I cannot see ", file.path, ", which root alone can read"),
               "ask the administrator: userns-policy explain USER");
    return false;
  }
  if (const auto blind = blindness(facts); blind && !file.is_safe) {
    check.note(
        concat("as this user I cannot see whether ", file.path, " can be trusted: ", blind->why),
        blind->fix);
    return false;
  }
  if (!file.is_safe) {
    check.fail(concat("it is refused as a whole: ", file.error),
               concat("let root alone write there, as userns-policy check shows: chown root:root ",
                      file.path, " && chmod 644 ", file.path));
    return false;
  }
  check.fail(concat("it is refused as a whole: ", file.error),
             "correct the line; userns-policy check shows it");
  return false;
}

void net_conf(const Facts& facts, Findings& all) {
  if (!is_readable(facts, facts.net_conf, all, "net-conf")) return;
  Check check(all, kPolicy, "net-conf");
  if (facts.bridges.empty())
    return check.note(
        concat(facts.net_conf.path, " grants ", who(facts), " no bridge"),
        concat("for --net bridge=BR: userns-policy grant ", who(facts), " --net BR:1"));
  std::string list;
  for (const auto& bridge : facts.bridges)
    list += concat(list.empty() ? "" : ", ", bridge.count,
                   bridge.count == 1 ? " NIC on " : " NICs on ", bridge.name);
  check.pass(list);
}

void bridge(const Facts& facts, const Bridge& bridge, Findings& all) {
  Check check(all, kPolicy, "bridge", bridge.name);
  if (!bridge.is_there)
    return check.fail(
        concat(bridge.name, " is granted, but does not exist"),
        concat("ip link add ", bridge.name, " type bridge && ip link set ", bridge.name, " up"));
  if (!bridge.is_bridge)
    return check.fail(concat(bridge.name, " is granted, but is not a bridge"),
                      "name a bridge in net.conf");
  if (!bridge.is_up)
    return check.fail(concat(bridge.name, " is down"), concat("ip link set ", bridge.name, " up"));
  if (bridge.sets_vlan && !bridge.filters_vlans)
    return check.fail(concat(bridge.name, " does not filter VLANs, and net.conf sets one"),
                      concat("ip link set ", bridge.name, " type bridge vlan_filtering 1"));
  if (bridge.most_mtu > bridge.mtu && bridge.mtu != 0)
    return check.fail(concat("net.conf sets mtu=", bridge.most_mtu, " for ", bridge.name,
                             ", above the bridge's own ", bridge.mtu),
                      concat("a smaller mtu= in net.conf, or ip link set ", bridge.name, " mtu ",
                             bridge.most_mtu));
  if (bridge.locks && version_of(facts.kernel) < kLocksPorts)
    return check.fail(concat("Linux ", facts.kernel, " cannot lock a port of ", bridge.name,
                             " against spoofing: no NIC"),
                      "boot Linux 5.18 or newer, or trust the user: spoof=allow in net.conf");
  // What is in use now is free again later.
  if (bridge.error.contains("[NR-QUOTA]"))
    return check.warn(bridge.error, "end a container that has a NIC there");
  if (!bridge.error.empty())
    return check.fail(concat("a NIC on ", bridge.name, " for trial: ", bridge.error),
                      "see the message; userns-policy check tells what is wrong with the files");
  if (bridge.ports == 0)
    return check.warn(
        concat(bridge.name,
               " has no port: containers on it reach each other and the host, nothing else"),
        concat("for the uplink's network: ip link set UPLINK master ", bridge.name));
  check.pass(concat(bridge.name, " is up, ports: ", bridge.ports));
}

void cgroup_conf(const Facts& facts, Findings& all) {
  const bool is_tried = facts.cgroup_conf.is_unseen && facts.unanswered.empty();
  if (!is_tried && !is_readable(facts, facts.cgroup_conf, all, "cgroup-conf")) return;
  Check check(all, kPolicy, "cgroup-conf");
  // Root alone can read the file: what the helper did is the answer.
  if (is_tried && facts.cgroup_error.empty())
    return check.pass("a cgroup for trial was made (as this user I cannot see the limits)");
  if (is_tried && facts.cgroup_error.contains("[CG-POLICY]"))
    return check.note(concat("userns-cgroup has no line for ", who(facts)),
                      "ask the administrator: userns-policy grant USER --cgroup memory.max=4G");
  if (facts.cgroup_limits.empty() && !is_tried)
    return check.note(concat(facts.cgroup_conf.path, " has no line for ", who(facts)),
                      concat("for limits by userns-cgroup: userns-policy grant ", who(facts),
                             " --cgroup memory.max=4G"));
  const auto& error = facts.cgroup_error;
  const std::string tried = concat("a cgroup for trial: ", error);
  if (error.contains("[CG-FULL]") || error.contains("[CG-BUSY]"))
    return check.warn(tried, "end some processes, and try again");
  if (!error.empty())
    return check.fail(tried,
                      "see the message; userns-policy check tells what is wrong with cgroup.conf");
  check.pass(facts.cgroup_limits);
}

// --- cgroups --------------------------------------------------------------------------------
constexpr std::string_view kCgroups = "Cgroups";

void cgroups(const Facts& facts, Findings& all) {
  Check check(all, kCgroups, "cgroups");
  if (!facts.lost_base.empty())
    return check.fail(concat(facts.cgroup_conf.path, " names the base ", facts.lost_base,
                             ", which is not a cgroup"),
                      "name one that is there, or leave base out");
  const std::string fix = "boot with systemd.unified_cgroup_hierarchy=1 for cgroup v2";
  switch (facts.cgroups) {
    case CgroupLayout::kV2:
      return check.pass("v2");
    case CgroupLayout::kHybrid:
      return check.warn("hybrid: the administrator's limits work, --memory and its like do not",
                        fix);
    case CgroupLayout::kV1:
      return check.warn("v1 alone: a container has no cgroup of its own", fix);
    case CgroupLayout::kNone:
      return check.note("no cgroup file system is mounted: no limits",
                        "mount -t cgroup2 none /sys/fs/cgroup");
  }
}

void cgroup_unit(const Facts& facts, Findings& all) {
  if (!facts.has_systemd) return;
  Check check(all, kCgroups, "cgroup-unit");
  const std::string fix = "systemctl enable --now userns-cgroup.service";
  if (facts.has_cgroup_unit) return check.pass("userns-cgroup.service runs, delegated");
  if (facts.has_own_base) return check.pass("cgroup.conf names a base of its own");
  const std::string text = "userns-cgroup.service does not run";
  if (facts.cgroup_limits.empty()) return check.note(text, fix);
  check.fail(concat(text, ": userns-cgroup refuses to make cgroups among systemd's"), fix);
}

void delegation(const Facts& facts, Findings& all) {
  if (!facts.has_user_manager || facts.cgroups != CgroupLayout::kV2) return;
  Check check(all, kCgroups, "delegation");
  const auto has = [&](std::string_view name) {
    for (std::string_view rest = facts.delegated; !rest.empty();)
      if (take_until(rest, ' ') == name) return true;
    return false;
  };
  std::string missing;
  for (const std::string_view name : {"cpu", "io", "memory", "pids"})
    if (!has(name)) missing += concat(missing.empty() ? "" : " ", name);
  if (missing.empty())
    return check.pass(concat("to the user's service manager: ", facts.delegated));
  check.note(concat("--cgroup systemd cannot limit ", missing,
                    ": not delegated to the user's service manager"),
             "systemctl edit user@.service, with [Service] Delegate=cpu cpuset io memory pids");
}

// --- files and programs ---------------------------------------------------------------------
constexpr std::string_view kFiles = "Files and programs";

void containers(const Facts& facts, Findings& all) {
  Check check(all, kFiles, "containers");
  if (facts.containers.empty())
    return check.fail("there is no home directory to keep containers in",
                      "set HOME or XDG_DATA_HOME");
  if (!facts.store_error.empty())
    return check.fail(facts.store_error, "do that, or set XDG_DATA_HOME to another directory");
  if (facts.no_inodes || facts.free_mib == 0)
    return check.fail(concat(facts.containers_there, " is on a full file system: no ",
                             facts.no_inodes ? "inodes" : "blocks", " are free"),
                      "make room, or set XDG_DATA_HOME to a directory elsewhere");
  if (!facts.can_write)
    return check.fail(
        concat(facts.containers_there, " is not the caller's to write; containers live in ",
               facts.containers),
        "set XDG_DATA_HOME to a directory of your own");
  if (!facts.remote.empty())
    return check.fail(concat(facts.containers_there, " is on ", facts.remote,
                             ", whose server does not let a user give files to subordinate ids"),
                      "set XDG_DATA_HOME to a directory on a local disk, or give --path DIR");
  if (facts.noexec)
    return check.fail(
        concat(facts.containers_there, " is mounted noexec: nothing in a container could run"),
        "set XDG_DATA_HOME to a directory on another file system");
  if (facts.nosuid)
    return check.warn(concat(facts.containers_there,
                             " is mounted nosuid: su, sudo and ping in containers would not work"),
                      "set XDG_DATA_HOME to a directory on another file system");
  constexpr std::uint64_t kLittle = 512;
  if (facts.free_mib < kLittle)
    return check.warn(concat(facts.containers_there, " has ", facts.free_mib,
                             " MiB free: a small distribution needs 300"),
                      "make room, or set XDG_DATA_HOME to a directory elsewhere");
  check.pass(concat(facts.containers, ", ", facts.free_mib / 1024, " GiB free"));
}

// Without it containers of one image are copies.
void other_ids(const Facts& facts, Findings& all) {
  if (!facts.idmap_error) return;
  Check check(all, kFiles, "instant");
  if (facts.idmap_error->empty())
    return check.pass(
        concat("containers in ", facts.containers, " can share files, each with ids of its own"));
  check.note(concat("no container in ", facts.containers,
                    " can share files with others, so they are copied: ", *facts.idmap_error),
             "install userns-idmap setuid root, and keep containers on ext4, xfs, btrfs or tmpfs "
             "(--path) with Linux 5.19 or newer");
}
void nics(const Facts& facts, Findings& all) {
  for (const auto& nic : facts.nics) {
    const auto at = nic.text.find(": ");
    Check(all, kFiles, "nic", nic.container.empty() ? nic.host : nic.container)
        .warn(nic.text.substr(0, at), at == std::string::npos ? "" : nic.text.substr(at + 2));
  }
}
void user_network(const Facts& facts, Findings& all) {
  Check check(all, kFiles, "user-network");
  if (facts.user_net.empty())
    return check.note("neither pasta nor slirp4netns is there: no --net user",
                      "install passt (or slirp4netns)");
  const auto& first = facts.user_net.front();
  if (!facts.can_open_tun)
    return check.warn(
        concat(first.path, ", but /dev/net/tun is not the caller's to open: no --net user"),
        facts.is_in_ours
            ? "start the container around this one with --nesting, on a host that has it"
            : "modprobe tun && chmod 666 /dev/net/tun");
  if (!facts.has_default_route)
    return check.pass(concat(first.path, "; not tried: the host itself has no default route"));
  std::string refusals;
  for (const auto& trial : facts.user_net) {
    if (trial.refusal.empty())
      return refusals.empty() ? check.pass(concat(trial.path, " works"))
                              : check.note(concat(trial.path, " works, and takes the place of ",
                                                  first.path, ", which does not: ", refusals),
                                           std::string(kSeeDenials));
    refusals += concat(refusals.empty() ? "" : "; ", trial.refusal);
  }
  check.warn(concat("no --net user: ", refusals),
             concat(facts.user_net.size() == 1 && first.program == "pasta"
                        ? "install slirp4netns, which is tried next; or "
                        : "",
                    kSeeDenials));
}

void own_network(const Facts& facts, Findings& all) {
  if (!facts.network_error) return;
  Check check(all, kFiles, "own-network");
  if (facts.network_error->empty())
    return check.pass("containers can share a network of yours (--net user=NAME)");
  check.warn(
      concat("no --net user=NAME: ", *facts.network_error),
      concat("load the kernel modules bridge and veth (modprobe bridge veth); or ", kSeeDenials));
}

void busybox(const Facts& facts, Findings& all) {
  Check check(all, kFiles, "busybox");
  const std::string fix = "install busybox-static";
  if (facts.busybox.empty()) return check.note("not there: no create --template busybox", fix);
  if (!facts.busybox_is_static)
    return check.note(concat(facts.busybox, " is not static: no create --template busybox"), fix);
  check.pass(concat(facts.busybox, ", static"));
}

void start(const Facts& facts, Findings& all) {
  Check check(all, "Start", "start");
  if (!facts.unanswered.empty() || std::ranges::any_of(facts.programs, &Program::hangs))
    return check.warn(concat("not tried: it would wait for ",
                             facts.unanswered.empty() ? "a helper" : "the user database"),
                      "correct that first, and run this again");
  if (const auto blind = blindness(facts); blind && !facts.is_nested)
    return check.warn(concat("not tried: ", blind->why), blind->fix);
  if (facts.start_error.empty()) return check.pass("a container was started and ended");
  check.fail(facts.start_error,
             "see the failures above; with --map-self the helpers are not needed");
}

}  // namespace

Findings judge(const Facts& facts) {
  Findings all;
  kernel(facts, all);
  user_namespace(facts, all);
  apparmor(facts, all);
  namespaces(facts, all);
  fresh_mount(facts, all, "proc", facts.proc_mount);
  fresh_mount(facts, all, "sys", facts.sys_mount);
  hidepid(facts, all);
  keys(facts, all);
  inotify(facts, all);
  no_new_privs(facts, all);
  bounding(facts, all);
  seccomp(facts, all);
  runtime_dir(facts, all);
  user_manager(facts, all);
  for (const auto& one : facts.programs) program(facts, one, all);
  names(facts, all);
  user_database(facts, all);
  for (const auto& one : facts.subids) subids(facts, one, all);
  net_conf(facts, all);
  for (const auto& one : facts.bridges) bridge(facts, one, all);
  cgroup_conf(facts, all);
  cgroups(facts, all);
  cgroup_unit(facts, all);
  delegation(facts, all);
  containers(facts, all);
  other_ids(facts, all);
  user_network(facts, all);
  own_network(facts, all);
  nics(facts, all);
  busybox(facts, all);
  start(facts, all);
  return all;
}

}  // namespace userns::frontend::doctor
