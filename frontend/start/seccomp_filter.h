// The default system call filter (--seccomp default): what it blocks is listed in
// seccomp_profile.h.
#pragma once

#include "policy/error.h"

namespace userns::frontend {

// For this process and all that come after it. Needs CAP_SYS_ADMIN in the user namespace, or
// no_new_privs. `nesting`: keyrings are left to the containers inside.
Result<void> install_default_profile(bool nesting = false);

// From now on no mount of this process's can be made writable again: remounting is refused (EPERM),
// and mount_setattr(2) and open_tree_attr(2) look missing (ENOSYS), since their flags are behind a
// pointer. A container's root may otherwise undo what its own container made read-only; what the
// host made read-only the kernel locks.
Result<void> keep_mount_flags();

}  // namespace userns::frontend
