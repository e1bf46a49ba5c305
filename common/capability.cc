#include "common/capability.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>

#include "policy/text.h"

namespace userns {
namespace {

struct CapState {
  std::uint64_t permitted = ~0ULL, effective = ~0ULL, inheritable = ~0ULL;
  friend bool operator==(const CapState&, const CapState&) = default;
};

constexpr std::uint64_t joined(std::uint32_t low, std::uint32_t high) {
  return low | std::uint64_t{high} << 32U;
}

// capget(2) and capset(2) themselves: libcap would read /proc at each start. What can't be read
// counts as "all".
CapState read_state() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct set[2] = {};
  if (::capget(&header, set) != 0) return {};
  return {joined(set[0].permitted, set[1].permitted), joined(set[0].effective, set[1].effective),
          joined(set[0].inheritable, set[1].inheritable)};
}

bool write_state(const CapState& to) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const auto low = [](std::uint64_t bits) { return static_cast<std::uint32_t>(bits); };
  __user_cap_data_struct set[2] = {
      {low(to.effective), low(to.permitted), low(to.inheritable)},
      {low(to.effective >> 32U), low(to.permitted >> 32U), low(to.inheritable >> 32U)}};
  return ::capset(&header, set) == 0;
}

// Why a privilege that the file should have given is not there. Only for the message.
std::string_view why_missing() {
  struct stat self{};
  struct statvfs mount{};
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
    return "the caller runs under no_new_privs, which disarms setuid programs: start it outside of "
           "the sandbox or "
           "service that sets it";
  if (::statvfs("/proc/self/exe", &mount) == 0 && (mount.f_flag & ST_NOSUID) != 0)
    return "the file system that this program is on is mounted nosuid: install it elsewhere or "
           "remount with suid";
  if (::stat("/proc/self/exe", &self) == 0 && self.st_uid == 0 && (self.st_mode & S_ISUID) != 0)
    return "the caller's bounding set or user namespace withholds it: run this from outside of the "
           "container";
  return "this program has lost its setuid bit or file capabilities: reinstall it, or chown root "
         "and chmod 4755";
}

bool uids_are(Uid held, Uid uid) {
  uid_t real = 0, effective = 0, saved = 0;
  return ::getresuid(&real, &effective, &saved) == 0 && real == held.value() &&
         effective == uid.value() && saved == held.value();
}

// Tries what must not work any more.
bool can_undo(std::uint64_t kept, Uid held) {
  return (held != Uid{0} && ::setresuid(0, 0, 0) == 0) || write_state({~kept, 0, 0}) ||
         write_state({});
}

}  // namespace

Result<void> drop_all_but(const Needs& needs, Uid uid, std::optional<Uid> real_and_saved) {
  const Uid held = real_and_saved.value_or(uid);
  const auto had = read_state();
  if (const auto missing = needs.required.bits & ~had.permitted; missing != 0)
    return fail("PR-MISSING",
                concat("needs ", needs.names, " and does not have it: ", why_missing()));
  const CapState keep{had.permitted & (needs.required.bits | needs.wanted.bits), 0,
                      needs.for_exec ? had.inheritable : 0};
  // Without CAP_SETPCAP and CAP_SETGID (file capabilities, a trimmed bounding set) the kernel
  // refuses these three: what is permitted is then the only limit, and it is enough.
  for (cap_value_t cap = 0; !needs.for_exec && ::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; ++cap) {
  }
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (!needs.for_exec) (void)::setgroups(0, nullptr);
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 ||
      ::setresuid(held.value(), uid.value(), held.value()) != 0 || !write_state(keep) ||
      ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
      (!needs.for_exec && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0))
    return fail("PR-DROP", "cannot drop privilege", errno);
  if (can_undo(keep.permitted, held) || !uids_are(held, uid) || read_state() != keep)
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
  auto keep = read_state();
  keep.permitted &= caps.bits;
  keep.effective = 0;
  if (!write_state(keep)) return fail("PR-DROP", "cannot drop a capability", errno);
  if (read_state() != keep)
    return fail("PR-DROP", "a capability is still there after it was dropped");
  return {};
}

namespace detail {

bool set_effective(CapSet caps) {
  auto wanted = read_state();
  wanted.effective = caps.bits & wanted.permitted;
  return write_state(wanted) && read_state() == wanted;
}

void abort_still_privileged() {
  constexpr std::string_view kText = "cannot lower a capability: aborted [PR-DROP]\n";
  if (::write(STDERR_FILENO, kText.data(), kText.size()) < 0)
    std::abort();  // with or without words
  std::abort();
}

}  // namespace detail
}  // namespace userns
