#include "common/capability.h"

#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <type_traits>

#include "policy/text.h"

namespace userns {
namespace {

using State = std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)>;

State state_now() { return {::cap_get_proc(), ::cap_free}; }

std::uint64_t bits_of(const State& state, cap_flag_t flag) {
  std::uint64_t bits = 0;
  for (cap_value_t cap = 0; cap < 64; ++cap) {
    cap_flag_value_t value = CAP_CLEAR;
    if (state && ::cap_get_flag(state.get(), cap, flag, &value) == 0 && value == CAP_SET)
      bits |= CapSet{cap}.bits;
  }
  return bits;
}

bool put(const State& state, cap_flag_t flag, std::uint64_t bits) {
  bool done = state != nullptr && ::cap_clear_flag(state.get(), flag) == 0;
  for (cap_value_t cap = 0; done && cap < 64; ++cap)
    if ((bits & CapSet{cap}.bits) != 0)
      done = ::cap_set_flag(state.get(), flag, 1, &cap, CAP_SET) == 0;
  return done;
}

bool is_now(const State& wanted) {
  const auto now = state_now();
  return now && ::cap_compare(now.get(), wanted.get()) == 0;
}

// As it was last set: a bracket changes what of it is effective, and asks the kernel for no more.
State& held_state() {
  static State state = state_now();
  return state;
}

bool uids_are(Uid held, Uid uid) {
  uid_t real = 0, effective = 0, saved = 0;
  return ::getresuid(&real, &effective, &saved) == 0 && real == held.value() &&
         effective == uid.value() && saved == held.value();
}

// Tries what must not work any more.
bool can_undo(std::uint64_t kept, Uid held) {
  const State more(::cap_init(), ::cap_free);
  const bool can_raise = put(more, CAP_PERMITTED, ~kept) && ::cap_set_proc(more.get()) == 0;
  return can_raise || (held != Uid{0} && ::setresuid(0, 0, 0) == 0);
}

// Without CAP_SETPCAP and CAP_SETGID (file capabilities, a trimmed bounding set) the kernel refuses
// these three: what is permitted is then the only limit, and it is enough. The bounding set matters
// to a process that is root in one of its uids: another gains nothing by an exec, which
// no_new_privs sees to.
void empty_where_allowed(bool for_exec, Uid held) {
  for (cap_value_t cap = 0; !for_exec && held == Uid{0} && ::cap_drop_bound(cap) == 0; ++cap) {
  }
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (!for_exec) (void)::setgroups(0, nullptr);
}

}  // namespace

Result<void> drop_all_but(const Needs& needs, Uid uid, std::optional<Uid> real_and_saved) {
  const Uid held = real_and_saved.value_or(uid);
  State& state = held_state();
  state = state_now();
  const auto had = bits_of(state, CAP_PERMITTED);
  if ((needs.required.bits & ~had) != 0)
    return fail("PR-MISSING", concat("needs ", needs.names,
                                     " and does not have it: \"userns-run doctor\" says why"));
  const auto kept = had & (needs.required.bits | needs.wanted.bits);
  empty_where_allowed(needs.for_exec, held);
  if (!put(state, CAP_PERMITTED, kept) || !put(state, CAP_EFFECTIVE, 0) ||
      (!needs.for_exec && !put(state, CAP_INHERITABLE, 0)) ||
      ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 ||
      ::setresuid(held.value(), uid.value(), held.value()) != 0 ||
      ::cap_set_proc(state.get()) != 0 || ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
      (!needs.for_exec && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0))
    return fail("PR-DROP", "cannot drop privilege", errno);
  if (can_undo(kept, held) || !uids_are(held, uid) || !is_now(state))
    return fail("PR-DROP", "privilege is still there after it was dropped");
  return {};
}

void step_down(Uid uid) {
  if (uid == Uid{0}) return;  // nobody is below root
  (void)(::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 &&
         ::setresuid(uid.value(), uid.value(), uid.value()) == 0);
  (void)::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

Result<void> keep_only(CapSet caps) {
  State& state = held_state();
  state = state_now();
  if (!put(state, CAP_PERMITTED, bits_of(state, CAP_PERMITTED) & caps.bits) ||
      !put(state, CAP_EFFECTIVE, 0) || ::cap_set_proc(state.get()) != 0 || !is_now(state))
    return fail("PR-DROP", "cannot drop a capability", errno);
  return {};
}

namespace detail {

bool set_effective(CapSet caps) {
  State& state = held_state();
  const auto set = [&] {
    return put(state, CAP_EFFECTIVE, caps.bits & bits_of(state, CAP_PERMITTED)) &&
           ::cap_set_proc(state.get()) == 0;
  };
  if (set()) return true;
  state = state_now();  // an act may have changed what is permitted: another uid does
  return set();
}

void abort_still_privileged() {
  constexpr std::string_view kText = "cannot lower a capability: aborted [PR-DROP]\n";
  if (::write(STDERR_FILENO, kText.data(), kText.size()) < 0)
    std::abort();  // with or without words
  std::abort();
}

}  // namespace detail
}  // namespace userns
