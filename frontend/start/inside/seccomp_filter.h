// The default system call filter (--seccomp default): what it blocks is listed in
// seccomp_profile.h.
#pragma once

#include "policy/error.h"

namespace userns::frontend {

// For this process and all that come after it. Needs CAP_SYS_ADMIN in the user namespace, or
// no_new_privs. `nesting`: keyrings are left to the containers inside.
Result<void> install_default_profile(bool nesting = false);

}  // namespace userns::frontend
