#include "frontend/start/inside/inherited.h"

#include <linux/keyctl.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "common/fd.h"

namespace userns::frontend {
namespace {

// A filter around this process that forbids keyrings forbids them to the command as well.
bool has_no_keyrings(int code) {
  if (code == ENOSYS) return true;
  return code == EPERM &&
         ::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) < 0 &&
         errno == EPERM;
}

Result<void> leave_session_keyring() {
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) >= 0) return {};
  const int code = errno;
  if (has_no_keyrings(code)) return {};
  return fail({},
              code == EDQUOT ? "cannot make a session keyring for the container: its root has as "
                               "many keys as kernel.keys.maxkeys allows; end some containers with "
                               "the same ids"
                             : "cannot leave the caller's session keyring",
              code);
}

// The kernel's PER_CLEAR_ON_SETID. What uname(2) says and how the clock reads stays.
Result<void> clear_personality() {
  constexpr unsigned long kAsk = 0xffffffff;
  constexpr unsigned long kWeakening =
      READ_IMPLIES_EXEC | ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT | MMAP_PAGE_ZERO;
  const int now = ::personality(kAsk);
  if (now < 0) return fail_errno("cannot read the personality of this process");
  const auto flags = static_cast<unsigned long>(now);
  if ((flags & kWeakening) == 0) return {};
  if (::personality(flags & ~kWeakening) < 0)
    return fail_errno("cannot set the personality of the command");
  return {};
}

}  // namespace

Result<void> leave_what_is_the_callers() {
  if (auto left = leave_session_keyring(); !left) return left;
  return clear_personality();
}

}  // namespace userns::frontend
