#include "frontend/start/inside/seccomp_filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <span>
#include <string_view>

#include "common/fd.h"
#include "policy/text.h"
#include "seccomp_blob.h"

namespace userns::frontend {

namespace {

Result<void> install(std::span<const sock_filter> instructions, std::string_view hint) {
  auto* const first =
      const_cast<sock_filter*>(instructions.data());  // NOLINT(*-const-cast): as prctl(2) takes it
  sock_fprog program{.len = static_cast<unsigned short>(instructions.size()), .filter = first};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
    return fail_errno(concat("cannot install a system call filter", hint));
  return {};
}

}  // namespace

Result<void> install_default_profile(bool nesting) {
  constexpr std::string_view kHint = " (--seccomp none does without)";
  return nesting ? install(kNestingProfile, kHint) : install(kDefaultProfile, kHint);
}

}  // namespace userns::frontend
