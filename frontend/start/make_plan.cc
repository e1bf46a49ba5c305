#include "frontend/start/make_plan.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "frontend/start/boot/boot.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/ids/own_groups.h"
#include "frontend/start/mounts/desktop.h"
#include "frontend/start/mounts/etc_files.h"
#include "frontend/start/mounts/source_path.h"
#include "frontend/start/net/net_choice.h"
#include "frontend/start/plan/etc_text.h"
#include "frontend/start/plan/plan_mounts.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::uint64_t namespaces_of(const Spec& spec) {
  const std::uint64_t all = spec.namespaces | CLONE_NEWUSER;
  return std::holds_alternative<NetHost>(spec.net) ? all & ~std::uint64_t{CLONE_NEWNET} : all;
}

bool wants_tty(const Spec& spec) {
  if (spec.boot) return true;
  if (spec.tty != TtyMode::kAuto) return spec.tty == TtyMode::kYes;
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
}

bool is_mapped(const ChosenMap& map, std::uint64_t outside) {
  const auto one = IdRange::make(outside, 1);
  return one && std::ranges::any_of(map.extents,
                                    [&](const Extent& e) { return e.outside().contains(*one); });
}

// The kernel's own files are the host's root's. In a user namespace without the host's root they
// are nobody's.
bool has_host_root(const ChosenIds& ids) {
  constexpr uid_t kNobody = 65534;
  struct stat facts{};
  if (::stat("/proc", &facts) != 0) return true;
  return (facts.st_uid != kNobody && is_mapped(ids.uids, facts.st_uid)) ||
         (facts.st_gid != kNobody && is_mapped(ids.gids, facts.st_gid));
}

Result<void> check_namespaces(const Plan& plan) {
  const auto lacks = [&](std::uint64_t flag) { return (plan.namespaces & flag) == 0; };
  const bool mounts = plan.own_root || !plan.spec.mounts.empty() || plan.spec.read_only;
  if (mounts && lacks(CLONE_NEWNS))
    return fail({},
                "--rootfs, --overlay, --read-only, --bind and --tmpfs need a mount namespace: "
                "leave mount out of --share");
  if (plan.spec.hostname && lacks(CLONE_NEWUTS))
    return fail({}, "--hostname needs a uts namespace: leave uts out of --share");
  return {};
}

Result<void> make_plain(std::string& path, const ChosenIds& ids) {
  if (path.empty()) return {};
  auto plain = TRY(plain_source(path, ids));
  path = std::move(plain);
  return {};
}

// Of the root file system: before anything is looked for in it.
Result<void> make_root_plain(Plan& plan) {
  if (auto done = make_plain(plan.spec.rootfs, plan.ids); !done) return done;
  if (auto done = make_plain(plan.spec.changes, plan.ids); !done) return done;
  for (auto& layer : plan.spec.layers)
    if (auto done = make_plain(layer, plan.ids); !done) return done;
  return {};
}

Result<void> add_own_groups(Plan& plan) {
  const auto groups = TRY(own_groups(plan.spec.group_add));
  for (const auto gid : groups) {
    plan.ids.gids.set_one(gid, gid);
    plan.spec.groups.push_back(gid);
  }
  return {};
}

std::string text_of(const char* path) {
  constexpr std::size_t kLargest = 64UL << 10U;
  const auto file = open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  return file ? read_all(*file, kLargest).value_or("") : std::string{};
}

// A host whose resolver is on its loopback, which is out of reach from another network namespace.
// systemd-resolved writes beside its own address those that it asks itself.
void choose_resolvers(Plan& plan) {
  constexpr const char* kOfResolved = "/run/systemd/resolve/resolv.conf";
  const auto step = std::ranges::find(plan.mounts, true, &MountStep::resolver);
  if (step == plan.mounts.end() || (plan.namespaces & CLONE_NEWNET) == 0 ||
      !only_loopback_resolvers(text_of(step->source.c_str())))
    return;
  const auto other = text_of(kOfResolved);
  if (other.contains("nameserver ") && !only_loopback_resolvers(other))
    step->source = kOfResolved;
  else
    plan.notes.push_back(concat("no name will resolve inside: all name servers in ", step->source,
                                " are on the host's loopback; bind a file that names another: "
                                "--bind FILE:/etc/resolv.conf:ro"));
}

Result<void> make_binds_plain(Plan& plan) {
  for (auto& step : plan.mounts) {
    if (step.kind != MountStep::Kind::kBind) continue;
    if (auto done = make_plain(step.source, plan.ids); !done && !step.optional) return done;
    const auto device = TRY(is_device_of_callers(step.source, plan.ids));
    step.device = device;
  }
  return {};
}

// Which binds are shown with other ids. A bind whose files have the right ids already is a plain
// one.
Result<void> plan_idmapped_binds(Plan& plan) {
  for (auto& step : plan.mounts) {
    if (!step.own_as) continue;
    auto ids = own_files_as(plan.ids, ::geteuid(), ::getegid(), *step.own_as);
    if (!ids) return fail({}, concat("cannot bind ", quoted(step.source), ": ", ids.error().text));
    if (!*ids) continue;
    step.idmapped = plan.idmapped.size();
    plan.idmapped.push_back({step.source, std::move(**ids), step.read_only});
  }
  return {};
}

// Trees that belong to other ids than the container's are shown with the container's.
Result<void> plan_idmapped_layers(Plan& plan) {
  const auto& spec = plan.spec;
  for (std::size_t i = 0; i < spec.layer_blocks.size(); ++i) {
    plan.idmapped_layers.emplace_back();
    const auto& block = spec.layer_blocks[i];
    if (block.uids.empty()) continue;
    const auto& source = i < spec.layers.size() ? spec.layers[i] : spec.rootfs;
    auto ids = block_as(block, plan.ids);
    if (!ids) return fail({}, concat("cannot use ", quoted(source), ": ", ids.error().text));
    if (!*ids) continue;
    plan.idmapped_layers.back() = plan.idmapped.size();
    plan.idmapped.push_back({source, std::move(**ids), true});
  }
  return {};
}

// Also by another path, such as a bind mount of it.
bool is_hosts_tree(const Spec& spec) {
  struct stat root{};
  struct stat host{};
  return !spec.rootfs.empty() && !spec.overlay && spec.changes.empty() &&
         ::stat(spec.rootfs.c_str(), &root) == 0 && ::stat("/", &host) == 0 &&
         root.st_dev == host.st_dev && root.st_ino == host.st_ino;
}

// The caller's uid if the container has it, else that of a first user.
std::uint32_t own_number(const ChosenIds& ids) {
  constexpr std::uint32_t kFirstUser = 1000;
  for (const std::uint32_t id : {::geteuid(), kFirstUser})
    if (ids.uids.has(id) && ids.gids.has(id)) return id;
  return 0;
}

}  // namespace

Result<Plan> make_plan(const Spec& spec) {
  auto ids = TRY(find_ids(spec));
  Plan plan{.spec = spec, .ids = std::move(ids)};
  TRY(add_own_groups(plan));
  TRY(make_root_plain(plan));
  auto zone = TRY(find_time_zone(spec));
  plan.zone = std::move(zone);
  auto net = choose_net(spec);
  plan.spec.net = std::move(net.wish);
  plan.net_why = std::move(net.why);
  TRY(plan_boot(plan));
  plan.namespaces = namespaces_of(spec);
  plan.own_root = !spec.rootfs.empty() || spec.overlay;
  plan.hosts_tree = is_hosts_tree(spec);
  plan.host_root = has_host_root(plan.ids);
  plan.tty = wants_tty(spec);
  TRY(check_namespaces(plan));
  plan.setup_uid = plan.ids.uids.extents.empty() || plan.ids.uids.has(0) ? 0 : spec.uid;
  plan.setup_gid = plan.ids.gids.extents.empty() || plan.ids.gids.has(0) ? 0 : spec.gid;
  if ((plan.namespaces & CLONE_NEWNS) != 0)
    plan.mounts = plan_mounts(plan.spec, plan.namespaces, plan.own_root, plan.tty);
  choose_resolvers(plan);
  TRY(make_binds_plain(plan));
  TRY(plan_idmapped_binds(plan));
  TRY(plan_idmapped_layers(plan));
  return plan;
}

Result<Plan> make_plan_to_start(Spec spec) {
  if (!spec.desktop.any()) return make_plan(spec);
  const auto ids = TRY(find_ids(spec));
  std::vector<std::string> notes;
  TRY(add_desktop(spec, own_number(ids), notes));
  auto plan = make_plan(spec);
  if (plan) plan->notes.insert(plan->notes.end(), notes.begin(), notes.end());
  return plan;
}

}  // namespace userns::frontend
