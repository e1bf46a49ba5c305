#include "common/lockdown.h"

#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>

#include "policy/try.h"

namespace userns {
namespace {

// How many rights to files each version of Landlock knows (landlock(7)); all are denied.
unsigned rights_of(long version) {
  return version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
}

bool deny_files(std::span<const Fd* const> trees) {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return true;  // not in this kernel, or switched off: the filter stands alone
  landlock_ruleset_attr nothing{};
  nothing.handled_access_fs = (std::uint64_t{1} << rights_of(version)) - 1;
  const Fd rules(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &nothing, sizeof nothing, 0)));
  for (const Fd* const tree : trees) {
    const landlock_path_beneath_attr rule{.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE |
                                                            LANDLOCK_ACCESS_FS_READ_DIR |
                                                            LANDLOCK_ACCESS_FS_REMOVE_DIR,
                                          .parent_fd = tree->get()};
    if (::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
      return false;
  }
  return rules.valid() && ::syscall(SYS_landlock_restrict_self, rules.get(), 0) == 0;
}

}  // namespace

Result<void> keep_to(std::span<const Fd* const> trees) {
  if (deny_files(trees)) return {};
  return fail("PR-LOCK", "cannot keep this process away from files", errno);
}

Result<void> lock_down(std::span<const sock_filter> filter, std::span<const Fd* const> trees,
                       Files files) {
  auto* const first =
      const_cast<sock_filter*>(filter.data());  // NOLINT(*-const-cast): as prctl(2) takes it
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()), .filter = first};
  if (files == Files::kDenied) TRY(keep_to(trees));
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
    return fail("PR-LOCK", "cannot lock this process down before its act", errno);
  return {};
}

}  // namespace userns
