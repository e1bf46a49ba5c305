#include "frontend/start/plan/to_text.h"

#include "frontend/spec/net.h"
#include "frontend/start/plan/namespaces.h"
#include "policy/idmap.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

using Kind = MountStep::Kind;

std::string_view writer(MapWriter who, std::string_view helper) {
  switch (who) {
    case MapWriter::kNobody:
      return "not written";
    case MapWriter::kSelf:
      return "written directly";
    default:
      return helper;
  }
}

std::string map_lines(const ChosenMap& map, std::string_view kind, std::string_view helper) {
  std::string text;
  for (const auto& extent : map.extents) text += concat(kind, "s        ", to_text(extent), "\n");
  return concat(text, kind, "_map     ", writer(map.writer, helper), "\n");
}

std::string namespaces_line(std::uint64_t namespaces) {
  std::string text = "namespaces ";
  for (const auto& kind : kNamespaceKinds)
    if ((namespaces & kind.flag) != 0) text += concat(" ", kind.word);
  return concat(text, "\n");
}

std::string what_is_mounted(const MountStep& step) {
  switch (step.kind) {
    case Kind::kBind:
      return concat("bind ", quoted(step.source),
                    step.own_as ? concat(", the caller's files as ", *step.own_as, "'s") : "");
    case Kind::kTmpfs:
      return concat("tmpfs ", step.data, step.no_exec ? ",noexec" : "");
    case Kind::kProc:
      return "proc";
    case Kind::kSys:
      return "sysfs";
    case Kind::kDev:
      return "private dev: null zero full random urandom tty ptmx pts shm mqueue";
    case Kind::kDevpts:
      return "devpts";
    case Kind::kMqueue:
      return "mqueue";
    case Kind::kCgroup:
      return "cgroup2";
  }
  return {};
}

std::string root_line(const Plan& plan) {
  const std::string tree =
      plan.spec.rootfs.empty() ? "the host's own tree" : quoted(plan.spec.rootfs);
  const auto kept = plan.spec.changes.empty()
                        ? std::string{}
                        : concat(", writes go to ", quoted(plan.spec.changes), "/upper");
  std::string layers;
  for (const auto& layer : plan.spec.layers)
    layers += concat(layers.empty() ? ", below " : ", ", quoted(layer));
  return concat("root        ", tree, layers, kept,
                plan.spec.overlay ? ", writes go to a throw-away layer" : "",
                plan.spec.read_only ? ", read-only" : "", "\n");
}

std::string network_lines(const Plan& plan) {
  std::string text;
  if (const auto* bridges = std::get_if<NetBridges>(&plan.spec.net))
    for (const auto& nic : bridges->nics) {
      text += concat("network     ", nic.name, " on bridge ", nic.bridge);
      for (const auto& subnet : nic.addresses)
        text += concat(" ", to_text(subnet.address), "/", unsigned{subnet.prefix});
      for (const auto& gateway : nic.gateways) text += concat(" gateway ", to_text(gateway));
      text += nic.addresses.empty() ? ", by userns-net; addresses by DHCP inside\n"
                                    : ", by userns-net\n";
    }
  if (const auto* const user = std::get_if<NetUser>(&plan.spec.net))
    text += concat(
        "network     user, by pasta or slirp4netns",
        user->network.empty() ? "" : concat("; and the caller's network ", user->network), "\n");
  for (const auto& publish : plan.spec.publish)
    text += concat("publish     ", to_text(publish), "\n");
  return plan.net_why.empty() ? text : concat(text, plan.net_why, "\n");
}

std::string cgroup_lines(const Spec& spec) {
  constexpr std::string_view kWays[] = {"", "auto: userns-cgroup, or a scope of systemd's",
                                        "by userns-cgroup", "a scope of systemd's user manager"};
  if (spec.cgroup == CgroupMode::kNone) return {};
  std::string text = concat("cgroup      ", kWays[static_cast<int>(spec.cgroup)], "\n");
  for (const auto& limit : spec.limits)
    text += concat("limit       ", limit.file, " ", limit.text, "\n");
  return text;
}

std::string inside_lines(const Plan& plan) {
  std::string text;
  for (const auto& wish : plan.spec.sysctls)
    text += concat("sysctl      ", wish.name, "=", wish.value, "\n");
  for (const auto& wish : plan.spec.add_hosts)
    text += concat("host        ", wish.name, " is ", wish.address, "\n");
  if (!plan.zone.name.empty()) text += concat("time zone   ", plan.zone.name, "\n");
  if (plan.spec.shm_size != 0) text += concat("/dev/shm    ", plan.spec.shm_size, " bytes\n");
  for (const auto& note : plan.notes) text += concat(note, "\n");
  return text;
}

std::string command_line(const Plan& plan) {
  std::string text = concat("command     uid ", plan.spec.uid, " gid ", plan.spec.gid, ":");
  for (const auto& word : plan.spec.command) text += concat(" ", quoted(word));
  return concat(text, "\n");
}

}  // namespace

std::string to_text(const Plan& plan) {
  std::string text =
      map_lines(plan.ids.uids, "uid", "newuidmap") + map_lines(plan.ids.gids, "gid", "newgidmap");
  if (plan.ids.deny_setgroups) text += "setgroups   denied\n";
  text += namespaces_line(plan.namespaces) + network_lines(plan) + root_line(plan);
  for (const auto& step : plan.mounts)
    text +=
        concat("mount       ", quoted(step.destination), ": ", what_is_mounted(step),
               step.read_only ? ", read-only" : "", step.shielded ? ", parts of it covered" : "",
               step.optional ? ", where possible" : "", "\n");
  text += inside_lines(plan) + cgroup_lines(plan.spec);
  if (plan.boot)
    text += concat("boot        ", name_of(plan.boot->init.kind), ", asked to stop by signal ",
                   stop_signal(plan), "\n");
  if (plan.tty) text += "terminal    of its own\n";
  if (plan.spec.init) text += "init        a reaper as the first process\n";
  if (plan.spec.seccomp == SeccompMode::kDefault) text += "seccomp     default profile\n";
  return text + command_line(plan);
}

}  // namespace userns::frontend
