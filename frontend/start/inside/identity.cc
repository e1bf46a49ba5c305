#include "frontend/start/inside/identity.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/fd.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

Result<void> set_groups(const Plan& plan) {
  const auto& groups = plan.spec.groups;
  if (plan.ids.gids.extents.empty() || plan.ids.deny_setgroups || plan.spec.keep_groups) return {};
  if (::setgroups(groups.size(), groups.data()) == 0) return {};
  // Whoever mapped the gids by hand while we waited may have denied it.
  if (errno == EPERM && plan.spec.wait && groups.empty()) return {};
  return fail_errno("cannot set the supplementary groups inside");
}

// An empty map is left as it is on purpose: then the ids inside are nobody's.
Result<void> set_ids(const Plan& plan, std::uint32_t uid, std::uint32_t gid) {
  if (::setresgid(gid, gid, gid) != 0 && !plan.ids.gids.extents.empty())
    return fail_errno(concat("cannot become gid ", gid, " inside"));
  if (::setresuid(uid, uid, uid) != 0 && !plan.ids.uids.extents.empty())
    return fail_errno(concat("cannot become uid ", uid, " inside"));
  return {};
}

bool stays(const Spec& spec, int cap) {
  if (std::ranges::find(spec.cap_drop, cap) != spec.cap_drop.end()) return false;
  return !spec.cap_keep || std::ranges::find(*spec.cap_keep, cap) != spec.cap_keep->end();
}

Result<void> bound_capabilities(const Spec& spec) {
  if (spec.cap_drop.empty() && !spec.cap_keep) return {};
  for (int cap = 0; ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; ++cap)
    if (!stays(spec, cap) && ::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
      return fail_errno(concat("cannot drop capability ", cap));
  return {};
}

// A command that is not root has what is in its ambient set, and nothing else.
Result<void> keep_as_ambient(const Spec& spec) {
  std::uint64_t kept = 0;
  for (const int cap : *spec.cap_keep)
    if (stays(spec, cap)) kept |= std::uint64_t{1} << static_cast<unsigned>(cap);
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (unsigned half = 0; half < 2; ++half) {
    const auto bits = static_cast<std::uint32_t>(kept >> (32 * half));
    data.at(half) = {.effective = bits, .permitted = bits, .inheritable = bits};
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0)
    return fail_errno("cannot keep the capabilities that --cap-keep names");
  for (const int cap : *spec.cap_keep)
    if (stays(spec, cap) && ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0)
      return fail_errno(concat("cannot keep capability ", cap));
  return {};
}

}  // namespace

Result<void> become_setup_user(const Plan& plan) {
  if (auto grouped = set_groups(plan); !grouped) return grouped;
  return set_ids(plan, plan.setup_uid, plan.setup_gid);
}

Result<void> use_files_as_setup_user(const Plan& plan) {
  if (auto grouped = set_groups(plan); !grouped) return grouped;
  ::setfsgid(plan.setup_gid);
  ::setfsuid(plan.setup_uid);
  // They say what it was before; with an id that is none, what it is.
  constexpr auto kNone = ~uid_t{0};
  const bool is_gid = static_cast<gid_t>(::setfsgid(kNone)) == plan.setup_gid;
  const bool is_uid = static_cast<uid_t>(::setfsuid(kNone)) == plan.setup_uid;
  if ((!is_gid && !plan.ids.gids.extents.empty()) || (!is_uid && !plan.ids.uids.extents.empty()))
    return fail({}, "cannot use files as the container's root", EPERM);
  return {};
}

// An id that is not mapped has no name here; these set the ids for files to the effective ones.
Result<void> use_files_as_caller() {
  constexpr auto kAsItIs = ~uid_t{0};
  if (::setregid(kAsItIs, kAsItIs) != 0 || ::setreuid(kAsItIs, kAsItIs) != 0)
    return fail_errno("cannot use files as the caller again");
  return {};
}

Result<void> become_command_user(const Plan& plan) {
  const auto& spec = plan.spec;
  if (auto bounded = bound_capabilities(spec); !bounded) return bounded;
  const bool ambient = spec.cap_keep && spec.uid != 0;
  if (ambient && ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
    return fail_errno("cannot keep capabilities");
  if (spec.uid != plan.setup_uid || spec.gid != plan.setup_gid)
    if (auto set = set_ids(plan, spec.uid, spec.gid); !set) return set;
  return ambient ? keep_as_ambient(spec) : Result<void>{};
}

Result<void> set_limits(const std::vector<RlimitWish>& wishes) {
  for (const auto& wish : wishes) {
    const rlimit limit{wish.soft, wish.hard};
    if (::setrlimit(static_cast<__rlimit_resource_t>(wish.resource), &limit) != 0)
      return fail_errno(errno == EPERM
                            ? "cannot set a limit above the caller's own hard limit (see ulimit -H)"
                            : "cannot set a limit");
  }
  return {};
}

}  // namespace userns::frontend
