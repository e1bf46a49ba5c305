// A bundle's own system call filter, compiled by libseccomp when the container is made.
#pragma once

#include "common/fd.h"
#include "frontend/oci/config/seccomp_rules.h"
#include "policy/error.h"

#include <linux/filter.h>

#include <vector>

namespace userns::frontend {

// What the kernel takes. A call that this libseccomp does not know is left out, as other runtimes
// have it: the default answer is then the filter's.
struct SeccompFilter {
  std::vector<sock_filter> program;
  unsigned flags = 0;
};
Result<SeccompFilter> compile_seccomp(const SeccompRules& rules);

// SECCOMP_FILTER_FLAG_*.
unsigned flags_of(const SeccompRules& rules);

// For this process and all that come after it. Needs CAP_SYS_ADMIN in the user namespace, or
// no_new_privs. Returns the listener of one that asks an agent (SCMP_ACT_NOTIFY): from now on the
// calls that it is asked about wait for the agent.
Result<Fd> install_seccomp(const SeccompFilter& filter);

}  // namespace userns::frontend
