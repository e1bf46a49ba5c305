#include "frontend/start/plan.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "common/caller.h"
#include "common/fd.h"
#include "common/subid_source.h"
#include "frontend/start/net_choice.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestMapFile = std::size_t{340} * 40;

bool holds_setuid_and_setgid() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return false;
  constexpr unsigned kBoth = 1U << CAP_SETUID | 1U << CAP_SETGID;
  return (data[0].effective & kBoth) == kBoth;
}

// The ids that this process's own user namespace has, as it sees them; empty in the initial one,
// whose ids are the machine's and nobody's to take.
Result<std::vector<IdRange>> own_namespace_ids(const char* path) {
  const auto file = open_at(AT_FDCWD, path, O_RDONLY);
  if (!file) return std::unexpected(file.error());
  const auto text = read_all(*file, kLargestMapFile);
  if (!text) return fail({}, cat("cannot read ", path), text.error().code);
  std::vector<IdRange> ranges;
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::array<std::uint64_t, 3> numbers{};
    auto line = take_until(rest, '\n');
    for (auto& number : numbers) {
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      number = parse_decimal(take_until(line, ' ')).value_or(0);
    }
    if (numbers == std::array<std::uint64_t, 3>{0, 0, kLargestId + 1}) return std::vector<IdRange>{};
    if (const auto range = IdRange::make(numbers[0], numbers[2])) ranges.push_back(*range);
  }
  return ranges;
}

// What auto takes from.
struct Found {
  std::string name;
  SubidRanges uids;
  SubidRanges gids;
  std::vector<IdRange> own_uids;
  std::vector<IdRange> own_gids;
};

Result<void> find_delegated(Found& found) {
  const Uid uid{::getuid()};
  auto name = login_name(uid);
  if (!name) return std::unexpected(name.error());
  found.name = std::move(*name);
  auto uids = find_subids(IdKind::kUid, found.name, uid);
  if (!uids) return std::unexpected(uids.error());
  found.uids = std::move(*uids);
  auto gids = find_subids(IdKind::kGid, found.name, uid);
  if (!gids) return std::unexpected(gids.error());
  found.gids = std::move(*gids);
  return {};
}

// The root of a container owns all there is in it. Subid files in there speak of ids that may not exist,
// and, where they are the host's, belong to nobody.
Result<Found> find_for_auto(bool privileged) {
  Found found;
  if (privileged) {
    auto own_uids = own_namespace_ids("/proc/self/uid_map");
    if (!own_uids) return std::unexpected(own_uids.error());
    auto own_gids = own_namespace_ids("/proc/self/gid_map");
    if (!own_gids) return std::unexpected(own_gids.error());
    found.own_uids = std::move(*own_uids);
    found.own_gids = std::move(*own_gids);
    if (!found.own_uids.empty()) return found;
  }
  if (auto delegated = find_delegated(found); !delegated) return std::unexpected(delegated.error());
  return found;
}

AutoSource source_of(const SubidRanges& subids, const std::vector<IdRange>& own) {
  if (!own.empty()) return {.ranges = own, .name = "this user namespace"};
  return {.ranges = subids.owned.ranges(), .name = subids.source};
}

Result<ChosenIds> choose(const Spec& spec) {
  IdFacts facts{.uid = ::geteuid(), .gid = ::getegid(), .privileged = holds_setuid_and_setgid()};
  if (!std::holds_alternative<MapAuto>(spec.mapping)) return choose_ids(spec, facts);
  const auto found = find_for_auto(facts.privileged);
  if (!found) return std::unexpected(found.error());
  facts.caller_name = found->name;
  facts.uids = source_of(found->uids, found->own_uids);
  facts.gids = source_of(found->gids, found->own_gids);
  return choose_ids(spec, facts);
}

std::uint64_t namespaces_of(const Spec& spec) {
  const std::uint64_t all = spec.namespaces | CLONE_NEWUSER;
  return std::holds_alternative<NetHost>(spec.net) ? all & ~std::uint64_t{CLONE_NEWNET} : all;
}

bool wants_tty(const Spec& spec) {
  if (spec.tty != TtyMode::kAuto) return spec.tty == TtyMode::kYes;
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
}

Result<void> check_namespaces(const Plan& plan) {
  const auto lacks = [&](std::uint64_t flag) { return (plan.namespaces & flag) == 0; };
  const bool mounts = plan.own_root || !plan.spec.mounts.empty() || plan.spec.read_only;
  if (mounts && lacks(CLONE_NEWNS))
    return fail(
        {}, "--rootfs, --overlay, --read-only, --bind and --tmpfs need a mount namespace: leave mount out of --share");
  if (plan.spec.hostname && lacks(CLONE_NEWUTS))
    return fail({}, "--hostname needs a uts namespace: leave uts out of --share");
  return {};
}

}  // namespace

Result<Plan> make_plan(const Spec& spec) {
  auto ids = choose(spec);
  if (!ids) return std::unexpected(ids.error());
  Plan plan{.spec = spec, .ids = std::move(*ids)};
  auto net = choose_net(spec);
  plan.spec.net = std::move(net.wish);
  plan.net_why = std::move(net.why);
  plan.namespaces = namespaces_of(spec);
  plan.own_root = !spec.rootfs.empty() || spec.overlay;
  plan.tty = wants_tty(spec);
  if (auto possible = check_namespaces(plan); !possible) return std::unexpected(possible.error());
  plan.setup_uid = plan.ids.uids.extents.empty() || plan.ids.uids.has(0) ? 0 : spec.uid;
  plan.setup_gid = plan.ids.gids.extents.empty() || plan.ids.gids.has(0) ? 0 : spec.gid;
  if ((plan.namespaces & CLONE_NEWNS) != 0)
    plan.mounts = plan_mounts(plan.spec, plan.namespaces, plan.own_root, plan.tty);
  return plan;
}

}  // namespace userns::frontend
