// The last lock: once its facts are gathered a helper can make the system calls of its act alone,
// and open no file.
//
// Source: seccomp(2), landlock(7). The filters are generated at build time from lockdown_profile.h.
#pragma once

#include <linux/filter.h>

#include <span>

#include "common/fd.h"
#include "policy/error.h"

namespace userns {

// Whether Landlock takes files away, too: it forbids every change of mounts with them, so a helper
// whose act is one has the filter alone, which lets it open nothing.
enum class Files : bool { kAsTheyAre, kDenied };

// From now on a system call that `filter` does not allow kills the process, and (Landlock, where
// the kernel has it) no file can be reached by a path, but what is in `trees`, directories, to be
// read or, where it is a directory, removed. Cannot be undone. Needs no_new_privs. PR-LOCK where
// the kernel refuses.
Result<void> lock_down(std::span<const sock_filter> filter, std::span<const Fd* const> trees = {},
                       Files files = Files::kDenied);

// The same with fewer trees, in a process that is locked already and may make Landlock's calls.
Result<void> keep_to(std::span<const Fd* const> trees);

}  // namespace userns
