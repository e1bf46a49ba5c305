#include "frontend/start/seccomp_filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <iterator>

#include "common/fd.h"
#include "seccomp_blob.h"

namespace userns::frontend {

Result<void> install_default_profile() {
  sock_fprog program{.len = std::size(kDefaultProfile), .filter = const_cast<sock_filter*>(kDefaultProfile)};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
    return fail_errno("cannot install the system call filter (--seccomp none does without)");
  return {};
}

}  // namespace userns::frontend
