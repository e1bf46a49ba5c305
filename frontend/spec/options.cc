#include "frontend/spec/options.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "frontend/spec/given.h"
#include "frontend/spec/inside_values.h"
#include "frontend/spec/net.h"
#include "frontend/spec/values.h"
#include "policy/idmap.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// A time namespace isolates nothing unless clocks are shifted, which takes a writer of its own.
constexpr std::uint64_t kDefaultNamespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
                                             CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
                                             CLONE_NEWCGROUP;

// What was said so far; finish() turns it into a Spec.
struct Draft {
  Spec spec;
  std::vector<MapWish> maps;
  std::optional<MapAuto> map_auto;
  bool map_self = false;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<std::uint64_t> unshare;
  std::uint64_t share = 0;
  std::optional<NetWish> net;
  std::optional<CgroupMode> cgroup;
};

// Puts a parsed value where it belongs, or passes the error on.
template <class Value, class Target>
Result<void> put(Result<Value> value, Target& target) {
  if (!value) return std::unexpected(value.error());
  target = std::move(*value);
  return {};
}
template <class Value, class Wide>
Result<void> add(Result<Value> value, std::vector<Wide>& list) {
  if (!value) return std::unexpected(value.error());
  list.emplace_back(std::move(*value));
  return {};
}
template <class Value>
Result<void> add_all(Result<std::vector<Value>> values, std::vector<Value>& list) {
  if (!values) return std::unexpected(values.error());
  list.insert(list.end(), values->begin(), values->end());
  return {};
}
// The value of the word's place: words and values side by side.
template <class Value, class Target, std::size_t N>
Result<void> choose(std::string_view text, const std::string_view (&words)[N],
                    const Value (&values)[N], Target& target) {
  const auto index = TRY(parse_choice(text, words));
  target = values[index];
  return {};
}
Result<std::string> not_empty(std::string_view text) {
  if (text.empty()) return fail({}, "the value is empty");
  return std::string(text);
}

Result<void> take_map(Draft& draft, std::string_view text) {
  const auto map = TRY(parse_map(text));
  if (const auto* wish = std::get_if<MapWish>(&map))
    draft.maps.push_back(*wish);
  else if (draft.map_auto)
    return fail({}, "auto and keep-id are given once");
  else
    draft.map_auto = std::get<MapAuto>(map);
  return {};
}
Result<void> take_unshare(Draft& draft, std::string_view text) {
  const auto flags = TRY(parse_namespaces(text));
  draft.unshare = draft.unshare.value_or(0) | flags;
  return {};
}
Result<void> take_share(Draft& draft, std::string_view text) {
  const auto flags = TRY(parse_namespaces(text));
  if ((flags & CLONE_NEWUSER) != 0)
    return fail({},
                "the user namespace is what makes everything else possible and cannot be shared; "
                "name the others");
  draft.share |= flags;
  return {};
}
Result<void> take_net(Draft& draft, std::string_view text) {
  auto wish = TRY(parse_net(text));
  return add_net(draft.net, std::move(wish));
}
Result<void> take_cap_keep(Draft& draft, std::string_view text) {
  if (!draft.spec.cap_keep) draft.spec.cap_keep.emplace();
  return add_all(parse_capabilities(text), *draft.spec.cap_keep);
}

enum class Group : std::uint8_t { kIds, kNamespaces, kFiles, kProcess, kRights, kLife };
constexpr std::array<std::string_view, 6> kGroupTitles{"Ids",
                                                       "Namespaces and network",
                                                       "Files",
                                                       "The command's process",
                                                       "Rights and limits",
                                                       "Start, watch and stop"};

enum class Times : std::uint8_t { kOnce, kMany };

struct Option {
  const char* name;
  const char* value;  // placeholder; empty: a flag, which takes an optional =yes or =no
  Group group;
  Times times;
  const char* help;
  Result<void> (*take)(Draft&, std::string_view);
};

using Text = std::string_view;
using enum Group;
using enum Times;

constexpr std::array kOptions{
    Option{"map", "MAP", kIds, kMany,
           "auto (default) | keep-id[=N] | b|u|g:INSIDE:OUTSIDE:COUNT | FIRST:COUNT", take_map},
    Option{"map-self", "", kIds, kOnce,
           "only the caller's own id, as --uid and --gid; needs no helper",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.map_self); }},
    Option{"uid", "ID", kIds, kOnce, "the command's uid inside (0)",
           [](Draft& d, Text t) { return put(parse_id(t), d.uid); }},
    Option{"gid", "ID", kIds, kOnce, "its gid inside (0)",
           [](Draft& d, Text t) { return put(parse_id(t), d.gid); }},
    Option{"groups", "LIST", kIds, kMany, "its supplementary gids inside (none), or keep: yours",
           [](Draft& d, Text t) {
             d.spec.keep_groups = d.spec.keep_groups || t == "keep";
             return t == "keep" ? Result<void>{} : add_all(parse_ids(t), d.spec.groups);
           }},
    Option{"group-add", "GROUP", kIds, kMany,
           "a group of yours, as itself inside (/etc/subgid gives it)",
           [](Draft& d, Text t) { return add(not_empty(t), d.spec.group_add); }},

    Option{"unshare", "LIST", kNamespaces, kMany,
           "only these: mount,pid,ipc,uts,net,cgroup,time or all", take_unshare},
    Option{"share", "LIST", kNamespaces, kMany, "all but these (and time, which isolates nothing)",
           take_share},
    Option{"net", "NET", kNamespaces, kMany,
           "none (default) | host | user[=NAME] | auto | bridge=BR[,address=CIDR,...]",
           [](Draft& d, Text t) { return take_net(d, t); }},
    Option{"publish", "[ADDR:]HOST:PORT", kNamespaces, kMany,
           "a port of the host's leads to one inside (--net user)",
           [](Draft& d, Text t) { return add(parse_publish(t), d.spec.publish); }},
    Option{"publish-loopback", "", kNamespaces, kOnce,
           "--publish leads to services on the container's own 127.0.0.1, too",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.publish_loopback); }},
    Option{"hostname", "NAME", kNamespaces, kOnce, "the host name inside",
           [](Draft& d, Text t) { return put(parse_hostname(t), d.spec.hostname); }},

    Option{"add-host", "NAME:ADDRESS", kNamespaces, kMany, "a line in /etc/hosts inside",
           [](Draft& d, Text t) { return add(parse_add_host(t), d.spec.add_hosts); }},
    Option{"sysctl", "NAME=VALUE", kNamespaces, kMany,
           "a kernel setting of its network or ipc namespace: net.ipv4.ip_forward=1",
           [](Draft& d, Text t) { return add(parse_sysctl(t), d.spec.sysctls); }},

    Option{"rootfs", "DIR", kFiles, kOnce, "the root file system (the host's own tree)",
           [](Draft& d, Text t) { return put(not_empty(t), d.spec.rootfs); }},
    Option{"read-only", "", kFiles, kOnce, "nothing in it can be changed",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.read_only); }},
    Option{"overlay", "", kFiles, kOnce, "changes to it are thrown away at the end",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.overlay); }},
    Option{"changes", "DIR", kFiles, kOnce,
           "changes to it are kept in DIR/upper; itself it stays as it is",
           [](Draft& d, Text t) { return put(not_empty(t), d.spec.changes); }},
    Option{"bind", "SRC:DST[:ro][,idmap]", kFiles, kMany,
           "SRC of the host appears as DST; idmap: your files as root's",
           [](Draft& d, Text t) { return add(parse_bind(t), d.spec.mounts); }},
    Option{"tmpfs", "DST[:SET,...]", kFiles, kMany,
           "an empty file system in memory: /srv:size=64M,mode=0700,noexec",
           [](Draft& d, Text t) { return add(parse_tmpfs(t), d.spec.mounts); }},
    Option{"shm-size", "SIZE", kFiles, kOnce, "how much /dev/shm holds (half of the memory)",
           [](Draft& d, Text t) { return put(parse_bytes(t), d.spec.shm_size); }},

    Option{"home", "", kFiles, kOnce,
           "your home directory, and a user of your name who is you on disk",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.desktop.home); }},
    Option{"gpu", "", kFiles, kOnce, "the GPU's devices",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.desktop.gpu); }},
    Option{"wayland", "", kFiles, kOnce, "the socket of your Wayland compositor",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.desktop.wayland); }},
    Option{"x11", "", kFiles, kOnce, "the socket of your X server, and its cookie",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.desktop.x11); }},
    Option{"audio", "", kFiles, kOnce, "the sockets of PulseAudio and PipeWire",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.desktop.audio); }},

    Option{"env", "NAME[=VALUE]", kProcess, kMany, "sets a variable, or passes the caller's on",
           [](Draft& d, Text t) { return add(parse_env(t), d.spec.env); }},
    Option{"tz", "ZONE", kProcess, kOnce, "time zone inside: host (default) | keep | Europe/Berlin",
           [](Draft& d, Text t) { return put(parse_time_zone(t), d.spec.time_zone); }},
    Option{"clear-env", "", kProcess, kOnce, "no other variable of the caller's goes in",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.clear_env); }},
    Option{"cwd", "DIR", kProcess, kOnce,
           "working directory inside (the caller's where it exists, else /)",
           [](Draft& d, Text t) { return put(parse_path(t), d.spec.cwd); }},
    Option{"tty", "WHEN", kProcess, kOnce, "auto (default) | yes | no: a terminal of its own",
           [](Draft& d, Text t) {
             return choose(t, {"auto", "yes", "no"}, {TtyMode::kAuto, TtyMode::kYes, TtyMode::kNo},
                           d.spec.tty);
           }},

    Option{"cap-drop", "LIST", kRights, kMany, "capabilities to take away inside, or all",
           [](Draft& d, Text t) { return add_all(parse_capabilities(t), d.spec.cap_drop); }},
    Option{"cap-keep", "LIST", kRights, kMany, "take away all but these, or none", take_cap_keep},
    Option{"no-new-privs", "", kRights, kOnce, "setuid programs inside give nothing",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.no_new_privs); }},
    Option{"nesting", "", kRights, kOnce,
           "containers inside: /proc and keyrings whole, /dev/fuse, /dev/net/tun",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.nesting); }},
    Option{"seccomp", "PROFILE", kRights, kOnce, "default | none",
           [](Draft& d, Text t) {
             return choose(t, {"default", "none"}, {SeccompMode::kDefault, SeccompMode::kNone},
                           d.spec.seccomp);
           }},
    Option{"rlimit", "NAME=N[:N]", kRights, kMany,
           "soft and hard limit: nofile=1024:4096, core=unlimited ...",
           [](Draft& d, Text t) { return add(parse_rlimit(t), d.spec.rlimits); }},

    Option{"cgroup", "HOW", kRights, kOnce,
           "auto (with a limit below) | helper | systemd | none (default)",
           [](Draft& d, Text t) {
             using enum CgroupMode;
             CgroupMode mode = kNone;
             auto chosen = choose(t, {"auto", "helper", "systemd", "none"},
                                  {kAuto, kHelper, kSystemd, kNone}, mode);
             d.cgroup = mode;
             return chosen;
           }},
    Option{"memory", "SIZE", kRights, kOnce, "memory of the whole container: 512M, 2G",
           [](Draft& d, Text t) {
             return add(parse_limit("memory", "memory.max", t), d.spec.limits);
           }},
    Option{"memory-swap", "SIZE", kRights, kOnce, "swap space of the container",
           [](Draft& d, Text t) {
             return add(parse_limit("memory-swap", "memory.swap.max", t), d.spec.limits);
           }},
    Option{"pids", "N", kRights, kOnce, "processes and threads in the container",
           [](Draft& d, Text t) { return add(parse_limit("pids", "pids.max", t), d.spec.limits); }},
    Option{"cpus", "N", kRights, kOnce, "CPU time of the container, in CPUs: 2, 0.5",
           [](Draft& d, Text t) { return add(parse_limit("cpus", "cpu.max", t), d.spec.limits); }},
    Option{"cpu-weight", "N", kRights, kOnce,
           "its share of the CPU under contention, 1 to 10000 (100)",
           [](Draft& d, Text t) {
             return add(parse_limit("cpu-weight", "cpu.weight", t), d.spec.limits);
           }},
    Option{"io-weight", "N", kRights, kOnce,
           "its share of the disks under contention, 1 to 10000 (100)",
           [](Draft& d, Text t) {
             return add(parse_limit("io-weight", "io.weight", t), d.spec.limits);
           }},

    Option{"boot", "", kLife, kOnce,
           "boot the system in --rootfs: its init, or COMMAND, is process 1",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.boot); }},
    Option{"wait-ready", "TIME", kLife, kOnce,
           "with --boot: end it unless it says by then that it is up",
           [](Draft& d, Text t) { return put(parse_timeout(t), d.spec.wait_ready); }},
    Option{"init", "", kLife, kOnce,
           "a small process 1 of ours, which reaps orphans and passes signals on",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.init); }},
    Option{"stop-signal", "SIGNAL", kLife, kOnce,
           "what asks it to stop (TERM; of a system, what its init understands)",
           [](Draft& d, Text t) { return put(parse_signal(t), d.spec.stop_signal); }},
    Option{"stop-timeout", "TIME", kLife, kOnce, "how long a TERM may be ignored before KILL (10s)",
           [](Draft& d, Text t) { return put(parse_timeout(t), d.spec.stop_timeout); }},
    Option{"hook-timeout", "TIME", kLife, kOnce,
           "how long a hook of a named container may run before KILL (300s)",
           [](Draft& d, Text t) { return put(parse_timeout(t), d.spec.hook_timeout); }},
    Option{"die-with-parent", "", kLife, kOnce, "end when the caller's process ends",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.die_with_parent); }},
    Option{"pid-file", "FILE", kLife, kOnce, "write the container's first process id there",
           [](Draft& d, Text t) { return put(not_empty(t), d.spec.pid_file); }},
    Option{"info-fd", "N", kLife, kOnce, "write JSON there: pid, maps, namespaces",
           [](Draft& d, Text t) { return put(parse_fd(t), d.spec.info_fd); }},
    Option{"wait", "", kLife, kOnce, "print the pid and wait for Enter before the command starts",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.wait); }},
    Option{"dry-run", "", kLife, kOnce, "print what would be done and do nothing",
           [](Draft& d, Text t) { return put(parse_yes_no(t), d.spec.dry_run); }},
};

bool is_flag(const Option& option) { return option.value[0] == '\0'; }

const Option* find_option(std::string_view name) {
  const auto* const found =
      std::ranges::find(kOptions, name, [](const Option& o) { return std::string_view(o.name); });
  return found == kOptions.end() ? nullptr : found;
}

Result<std::vector<Given>> split(std::span<const std::string_view> words) {
  std::vector<KnownOption> known;
  for (const auto& option : kOptions)
    known.push_back({.name = option.name, .flag = is_flag(option)});
  return split_options(known, words, {.has = "there is", .help = "userns-run --help all"});
}

Result<void> take(Draft& draft, const Given& given, std::span<bool, kOptions.size()> seen) {
  const auto& value = given.value;
  const auto* const option = find_option(given.name);
  if (option == nullptr)
    return fail(
        {},
        concat("the word ", quoted(value),
               " is not an option; a command is written after --, as in: userns-run -- COMMAND"));
  const std::string_view name = option->name;
  bool& before = seen[static_cast<std::size_t>(option - kOptions.data())];
  if (before && option->times == kOnce)
    return fail({}, concat("--", name, " is given twice: decide for one"));
  before = true;
  if (auto taken = option->take(draft, value); !taken)
    return fail({}, wrong_value(concat("--", name), value, taken.error().text));
  return {};
}

Result<void> finish_ids(Draft& draft) {
  Spec& spec = draft.spec;
  const int kinds =
      (draft.map_auto ? 1 : 0) + (draft.map_self ? 1 : 0) + (draft.maps.empty() ? 0 : 1);
  if (kinds > 1)
    return fail(
        {}, "--map auto, --map-self and maps by hand exclude each other: give one of the three");
  spec.uid = draft.uid.value_or(0);
  spec.gid = draft.gid.value_or(0);
  spec.user_said = draft.uid.has_value() || draft.gid.has_value();
  if (draft.map_auto) spec.mapping = *draft.map_auto;
  if (draft.map_self) spec.mapping = MapSelf{};
  if (spec.keep_groups && !(spec.groups.empty() && spec.group_add.empty()))
    return fail({},
                "--groups keep has all groups of yours: drop the other --groups and --group-add");
  if (draft.map_self && !spec.group_add.empty())
    return fail({}, "--group-add maps a group, and --map-self maps none: say --groups keep");
  if (!draft.maps.empty()) spec.mapping = std::move(draft.maps);
  return {};
}

Result<void> finish_namespaces(Draft& draft) {
  constexpr std::uint64_t kNet = CLONE_NEWNET;
  std::uint64_t flags = draft.unshare.value_or(kDefaultNamespaces) & ~draft.share;
  if (draft.net) {
    const bool wants_own = !std::holds_alternative<NetHost>(*draft.net);
    if (wants_own && ((draft.share & kNet) != 0 || (draft.unshare && (flags & kNet) == 0)))
      return fail({},
                  "this --net needs a network namespace, and --share or --unshare leaves it out: "
                  "drop one of them");
    if (!wants_own && ((draft.unshare.value_or(0) & kNet) != 0))
      return fail(
          {},
          "--net host is the caller's network, and --unshare asks for another: drop one of them");
    flags = wants_own ? flags | kNet : flags & ~kNet;
    draft.spec.net = *draft.net;
  } else if ((flags & kNet) == 0) {
    draft.spec.net = NetHost{};
  }
  draft.spec.namespaces = flags | CLONE_NEWUSER;
  auto* const bridges = std::get_if<NetBridges>(&draft.spec.net);
  return bridges != nullptr ? name_nics(*bridges) : Result<void>{};
}

Result<void> finish_cgroup(Draft& draft) {
  const bool limited = !draft.spec.limits.empty();
  draft.spec.cgroup_unsaid = !limited && !draft.cgroup;
  draft.spec.cgroup = draft.cgroup.value_or(limited ? CgroupMode::kAuto : CgroupMode::kNone);
  if (limited && draft.spec.cgroup == CgroupMode::kNone)
    return fail({}, concat("with --cgroup none no limit holds: drop ",
                           draft.spec.limits.front().option, " or --cgroup none"));
  return {};
}

Result<void> check_boot(const Spec& spec) {
  if (!spec.boot) return {};
  constexpr std::uint64_t kNeeded = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP | CLONE_NEWUTS;
  if (spec.rootfs.empty())
    return fail({}, "--boot needs a root file system to boot: give --rootfs, too");
  if (spec.init)
    return fail(
        {}, "--boot has the init of the root file system as process 1, and --init ours: drop one");
  if (spec.uid != 0 || spec.gid != 0)
    return fail({}, "--boot: an init runs as root inside; drop --uid and --gid");
  if (spec.tty == TtyMode::kNo)
    return fail({}, "--boot: a system always has its console; drop --tty no");
  if ((spec.namespaces & kNeeded) != kNeeded)
    return fail({},
                "--boot needs mount, pid, cgroup and uts namespaces of its own: do not share them");
  return {};
}

// What contradicts itself whatever the system is like.
Result<void> check(const Spec& spec) {
  const auto lacks = [&](std::uint64_t flag) { return (spec.namespaces & flag) == 0; };
  if (lacks(CLONE_NEWNS) &&
      (!spec.rootfs.empty() || spec.read_only || spec.overlay || !spec.mounts.empty()))
    return fail({},
                "--rootfs, --read-only, --overlay, --bind and --tmpfs need a mount namespace: do "
                "not share mount");
  for (const auto& wish : spec.sysctls)
    if (lacks(wish.space))
      return fail({}, concat("--sysctl ", wish.name, " would set it for the whole machine: the ",
                             wish.space == CLONE_NEWNET ? "network" : "ipc",
                             " namespace is shared; drop --sysctl, or do not share it"));
  if (spec.rootfs.empty() && !spec.overlay &&
      (!spec.add_hosts.empty() || spec.shm_size != 0 || spec.time_zone != "host"))
    return fail({},
                "--add-host, --shm-size and --tz are about a root file system of the container's "
                "own: give --rootfs or --overlay, too");
  if (spec.rootfs.empty() && spec.desktop.any())
    return fail({},
                "--home, --gpu, --wayland, --x11 and --audio hand in to a root file system of the "
                "container's own what the host's tree has anyway: give --rootfs, too");
  if (lacks(CLONE_NEWUTS) && spec.hostname)
    return fail({}, "--hostname needs a uts namespace: do not share uts");
  if (lacks(CLONE_NEWPID) && spec.init)
    return fail({}, "--init is process 1 of a pid namespace: do not share pid");
  if (std::holds_alternative<NetBridges>(spec.net) && !spec.publish.empty())
    return fail({},
                "--publish: on a bridge the container has an address of its own, and its ports are "
                "open there; drop it");
  if ((std::holds_alternative<NetNone>(spec.net) || std::holds_alternative<NetHost>(spec.net)) &&
      !spec.publish.empty())
    return fail({}, "--publish leads into a network of the container's own: give --net user, too");
  if (spec.publish_loopback && spec.publish.empty())
    return fail({}, "--publish-loopback is about published ports: give --publish, too");
  if (spec.read_only && spec.overlay)
    return fail({}, "--read-only forbids changes and --overlay throws them away: give one of them");
  if (!spec.changes.empty() && (spec.read_only || spec.overlay))
    return fail({}, concat("--changes keeps changes and ",
                           spec.overlay ? "--overlay throws them away" : "--read-only forbids them",
                           ": give one of them"));
  if (!spec.changes.empty() && spec.rootfs.empty())
    return fail({}, "--changes are of a --rootfs: give one, too");
  return {};
}

}  // namespace

Result<Spec> parse_options(std::span<const std::string_view> words) {
  const auto given = TRY(split(words));
  Draft draft{};
  std::array<bool, kOptions.size()> seen{};
  for (const auto& option : given) TRY(take(draft, option, seen));
  TRY(finish_ids(draft));
  TRY(finish_namespaces(draft));
  TRY(finish_cgroup(draft));
  TRY(check(draft.spec));
  TRY(check_boot(draft.spec));
  return std::move(draft.spec);
}

std::span<const ContainerOption> container_options() {
  static constexpr auto kPublic = [] {
    std::array<ContainerOption, kOptions.size()> all;
    for (std::size_t i = 0; i < all.size(); ++i)
      all[i] = {.name = kOptions[i].name,
                .value = kOptions[i].value,
                .help = kOptions[i].help,
                .many = kOptions[i].times == kMany};
    return all;
  }();
  return kPublic;
}

Result<void> check_option(std::string_view name, std::string_view value) {
  const auto* const option = find_option(name);
  if (option == nullptr) return fail({}, "there is no such option");
  Draft draft{};
  return option->take(draft, value);
}

std::string options_help() {
  constexpr std::size_t kColumn = 27;
  std::string text;
  for (std::size_t group = 0; group < kGroupTitles.size(); ++group) {
    text += concat("\n", kGroupTitles[group], ":\n");
    for (const auto& option : kOptions) {
      if (static_cast<std::size_t>(option.group) != group) continue;
      std::string line = concat("  --", std::string_view(option.name), is_flag(option) ? "" : " ",
                                std::string_view(option.value));
      line.append(line.size() < kColumn ? kColumn - line.size() : 1, ' ');
      text += concat(line, std::string_view(option.help), "\n");
    }
  }
  return text;
}

}  // namespace userns::frontend
