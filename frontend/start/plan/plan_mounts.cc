#include "frontend/start/plan/plan_mounts.h"

#include <sched.h>

#include <string_view>
#include <utility>

#include "policy/text.h"

namespace userns::frontend {
namespace {

using Kind = MountStep::Kind;

void add_own_root(std::vector<MountStep>& steps, const Spec& spec, std::uint64_t namespaces) {
  const bool own_pids = (namespaces & CLONE_NEWPID) != 0;
  const bool own_net = (namespaces & CLONE_NEWNET) != 0;
  const bool shielded = !spec.nesting;
  MountStep proc{.kind = Kind::kProc, .destination = "/proc", .shielded = shielded};
  MountStep sys{.kind = Kind::kSys,
                .destination = "/sys",
                .read_only = true,
                .optional = true,
                .shielded = shielded};
  if (!own_pids) proc.kind = Kind::kBind, proc.source = "/proc";
  if (!own_net) sys.kind = Kind::kBind, sys.source = "/sys";
  steps.push_back(std::move(proc));
  steps.push_back(std::move(sys));
  if ((own_net || spec.boot) && (namespaces & CLONE_NEWCGROUP) != 0)
    steps.push_back({.kind = Kind::kCgroup, .destination = "/sys/fs/cgroup", .optional = true});
  steps.push_back({.kind = Kind::kDev, .destination = "/dev"});
  steps.push_back(
      {.kind = Kind::kTmpfs, .destination = "/run", .data = "mode=0755", .optional = !spec.boot});
  steps.push_back(
      {.kind = Kind::kTmpfs, .destination = "/tmp", .data = "mode=1777", .optional = true});
}

// The host's own tree: only what would otherwise show the wrong namespace.
void add_host_tree(std::vector<MountStep>& steps, std::uint64_t namespaces, bool tty) {
  if ((namespaces & CLONE_NEWPID) != 0)
    steps.push_back({.kind = Kind::kProc, .destination = "/proc"});
  if ((namespaces & CLONE_NEWIPC) != 0)
    steps.push_back({.kind = Kind::kMqueue, .destination = "/dev/mqueue", .optional = true});
  if (tty) steps.push_back({.kind = Kind::kDevpts, .destination = "/dev/pts"});
}

// Where names are looked up by the host's own resolvers. A DHCP client inside writes its own.
bool uses_host_resolvers(const NetWish& net) {
  const auto* const bridges = std::get_if<NetBridges>(&net);
  return std::holds_alternative<NetUser>(net) || std::holds_alternative<NetHost>(net) ||
         (bridges != nullptr && !bridges->nics.front().addresses.empty());
}

std::string_view usual_mode(std::string_view destination) {
  const bool is_for_all =
      destination == "/tmp" || destination == "/var/tmp" || destination == "/dev/shm";
  return is_for_all ? "1777" : "0755";
}

// One of one's own for /tmp or /run takes the place of ours.
bool replaces(const MountWish& wish, const MountStep& step) {
  const auto* const tmpfs = std::get_if<TmpfsWish>(&wish);
  return tmpfs != nullptr && step.kind == Kind::kTmpfs && step.destination == tmpfs->destination;
}

MountStep step_of(const MountWish& wish) {
  if (const auto* bind = std::get_if<BindWish>(&wish))
    return {.kind = Kind::kBind,
            .source = bind->source,
            .destination = bind->destination,
            .read_only = bind->read_only,
            .own_as = bind->own_as};
  const auto& tmpfs = std::get<TmpfsWish>(wish);
  auto data = tmpfs.options;
  if (!tmpfs.has_mode)
    data += concat(data.empty() ? "" : ",", "mode=", usual_mode(tmpfs.destination));
  return {.kind = Kind::kTmpfs,
          .destination = tmpfs.destination,
          .data = std::move(data),
          .read_only = tmpfs.read_only,
          .no_exec = tmpfs.no_exec};
}

}  // namespace

std::vector<MountStep> plan_mounts(const Spec& spec, std::uint64_t namespaces, bool own_root,
                                   bool tty) {
  std::vector<MountStep> steps;
  steps.reserve(8 + spec.mounts.size());
  if (own_root) add_own_root(steps, spec, namespaces);
  if (own_root && uses_host_resolvers(spec.net))
    steps.push_back({.kind = Kind::kBind,
                     .source = "/etc/resolv.conf",
                     .destination = "/etc/resolv.conf",
                     .read_only = true,
                     .optional = true,
                     .resolver = true});
  if (!own_root) add_host_tree(steps, namespaces, tty);
  for (const auto& wish : spec.mounts) {
    std::erase_if(steps, [&](const MountStep& step) { return replaces(wish, step); });
    steps.push_back(step_of(wish));
  }
  return steps;
}

}  // namespace userns::frontend
