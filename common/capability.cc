#include "common/capability.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "common/fd.h"
#include "policy/text.h"

namespace userns {
namespace {

struct FreeCaps {
  void operator()(cap_t caps) const { ::cap_free(caps); }
};
using CapState = std::unique_ptr<std::remove_pointer_t<cap_t>, FreeCaps>;

int cap_count() { return static_cast<int>(::cap_max_bits()); }

bool set_flags(cap_t state, cap_flag_t flag, CapSet caps) {
  for (cap_value_t cap = 0; cap < cap_count(); ++cap)
    if (caps.contains(cap) && ::cap_set_flag(state, flag, 1, &cap, CAP_SET) != 0) return false;
  return true;
}

bool set_permitted(CapSet permitted, CapSet effective) {
  const CapState state(::cap_init());
  return state && set_flags(state.get(), CAP_PERMITTED, permitted) &&
         set_flags(state.get(), CAP_EFFECTIVE, effective) && ::cap_set_proc(state.get()) == 0;
}

bool is_set(cap_t state, cap_flag_t flag, cap_value_t cap) {
  cap_flag_value_t value = CAP_CLEAR;
  return ::cap_get_flag(state, cap, flag, &value) == 0 && value == CAP_SET;
}

// Why a privilege that the file should have given is not there. Only for the message.
std::string why_missing() {
  struct stat self{};
  struct statvfs mount{};
  const bool seen = ::stat("/proc/self/exe", &self) == 0;
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
    return "the caller runs under no_new_privs, which disarms setuid programs: start it outside of "
           "the sandbox or service that sets it";
  if (::statvfs("/proc/self/exe", &mount) == 0 && (mount.f_flag & ST_NOSUID) != 0)
    return "the file system that this program is on is mounted nosuid: install it elsewhere or "
           "remount with suid";
  if (seen && self.st_uid == 0 && (self.st_mode & S_ISUID) != 0)
    return "the caller's bounding set or user namespace withholds it: run this from outside of the "
           "container";
  return "this program has lost its setuid bit or file capabilities: reinstall it, or chown root "
         "and chmod 4755";
}

std::string name_of(cap_value_t cap) {
  const std::unique_ptr<char, int (*)(void*)> name(::cap_to_name(cap), ::cap_free);
  return name ? name.get() : cat("capability ", cap);
}

// What of `needs` there is; fails where a required one is missing.
Result<CapSet> to_keep(const Needs& needs) {
  const CapState state(::cap_get_proc());
  if (!state) return fail("PR-DROP", "cannot read the process's capabilities", errno);
  CapSet keep{};
  for (cap_value_t cap = 0; cap < cap_count(); ++cap) {
    const bool there = is_set(state.get(), CAP_PERMITTED, cap);
    if (needs.required.contains(cap) && !there)
      return fail("PR-MISSING", cat("needs ", name_of(cap), " and does not have it: ", why_missing()));
    if (there && (needs.required.contains(cap) || needs.wanted.contains(cap))) keep.add(cap);
  }
  return keep;
}

void drop_bounding_set() {
  // Without CAP_SETPCAP (file capabilities, a trimmed bounding set) the kernel refuses: what is
  // permitted is then the only limit, and it is enough.
  for (cap_value_t cap = 0; cap < cap_count(); ++cap) (void)::cap_drop_bound(cap);
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

bool only_permitted(CapSet keep) {
  const CapState state(::cap_get_proc());
  if (!state) return false;
  for (cap_value_t cap = 0; cap < cap_count(); ++cap)
    if (is_set(state.get(), CAP_EFFECTIVE, cap) || is_set(state.get(), CAP_INHERITABLE, cap) ||
        is_set(state.get(), CAP_PERMITTED, cap) != keep.contains(cap))
      return false;
  return true;
}

bool uids_are(Uid uid) {
  uid_t real = 0;
  uid_t effective = 0;
  uid_t saved = 0;
  return ::getresuid(&real, &effective, &saved) == 0 && real == uid.value() && effective == uid.value() &&
         saved == uid.value();
}

bool can_undo(CapSet keep, Uid uid) {
  if (uid != Uid{0} && ::setresuid(0, 0, 0) == 0) return true;
  constexpr cap_value_t kMustBeGone[] = {CAP_SYS_ADMIN, CAP_DAC_OVERRIDE, CAP_SYS_PTRACE};
  return std::ranges::any_of(kMustBeGone,
                             [&](cap_value_t cap) { return !keep.contains(cap) && set_permitted({cap}, {cap}); });
}

}  // namespace

Result<void> drop_all_but(const Needs& needs, Uid uid) {
  const auto keep = to_keep(needs);
  if (!keep) return std::unexpected(keep.error());
  drop_bounding_set();
  // Without CAP_SETGID (file capabilities) they stay; they give nothing that the caller lacks.
  (void)::setgroups(0, nullptr);
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || ::setresuid(uid.value(), uid.value(), uid.value()) != 0 ||
      !set_permitted(*keep, {}) || ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return fail("PR-DROP", "cannot drop privilege", errno);
  if (!uids_are(uid) || !only_permitted(*keep) || can_undo(*keep, uid))
    return fail("PR-DROP", "privilege is still there after it was dropped");
  return {};
}

Result<void> forget_capability(cap_value_t cap) {
  const CapState state(::cap_get_proc());
  if (!state || ::cap_set_flag(state.get(), CAP_PERMITTED, 1, &cap, CAP_CLEAR) != 0 ||
      ::cap_set_flag(state.get(), CAP_EFFECTIVE, 1, &cap, CAP_CLEAR) != 0 || ::cap_set_proc(state.get()) != 0)
    return fail("PR-DROP", "cannot drop a capability", errno);
  const CapState after(::cap_get_proc());
  if (!after || is_set(after.get(), CAP_PERMITTED, cap))
    return fail("PR-DROP", "a capability is still there after it was dropped");
  return {};
}

namespace detail {

bool set_effective(CapSet caps) {
  const CapState state(::cap_get_proc());
  return state && ::cap_clear_flag(state.get(), CAP_EFFECTIVE) == 0 && set_flags(state.get(), CAP_EFFECTIVE, caps) &&
         ::cap_set_proc(state.get()) == 0;
}

void abort_still_privileged() { std::abort(); }

}  // namespace detail
}  // namespace userns
