// Directories of a cgroup hierarchy: making, limiting, handing over, entering and removing them,
// below fds that are already open. Source: cgroups(7), the kernel's admin-guide/cgroup-v2.
//
// This process is uid 0 without effective capabilities: it may do what root may with root's own
// files. Only the brackets here go further, for what was handed over to a user and what the kernel
// made read-only; CAP_CHOWN and CAP_DAC_OVERRIDE must be permitted. No symbolic link, mount or ".."
// is ever followed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/capability.h"
#include "common/fd.h"
#include "policy/ids.h"

namespace userns {

enum class CgroupVersion : bool { kV1, kV2 };
bool is_cgroup(const Fd& dir, CgroupVersion version);

// `dir`/NAME, NAME being one component; the error carries ENOENT where there is none.
Result<Fd> open_cgroup(const Fd& dir, const std::string& name);
// The same, made if absent.
Result<Fd> make_cgroup(const Fd& dir, const std::string& name);
// A user's cgroup: root's, locked for as long as the Fd lives. Users can pass through it but
// neither list nor lock it. Without `make` fails with ENOENT where it is absent. CG-BUSY where the
// lock can't be had in 5 seconds.
Result<Fd> lock_cgroup(const Fd& dir, const std::string& name, bool make);

// Interface files.
Result<std::string> read_cgroup_file(const Fd& dir, const std::string& file);
Result<void> write_cgroup_file(const Fd& dir, const std::string& file, std::string_view text);

// Moves this process, which must have one thread; no other pid is ever written. In v2 the kernel
// makes it wait for a grace period of RCU, 10 to 20 ms.
Result<void> join_cgroup(const Fd& dir, CgroupVersion version);

Result<std::vector<std::string>> child_cgroups(const Fd& dir);
Result<std::vector<std::string>> interface_files(const Fd& dir);
// How many of them, as the kernel counts; more than any limit where it doesn't say.
std::size_t count_children(const Fd& dir);

// Gives a v2 directory, and those of its files that delegation is made of, to a user.
Result<void> hand_over(const Fd& dir, Uid uid, Gid gid);
// Removes `dir`/NAME and what is below it, bottom up, at most `depth` levels. Fails where a process
// is in it. That it is gone already is success.
Result<void> remove_cgroups(const Fd& dir, const std::string& name, int depth);

}  // namespace userns
