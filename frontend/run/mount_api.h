// The new mount interface, one call each: trees that are attached nowhere until everything in them
// is as it should be. Source: open_tree(2), fsopen(2), move_mount(2), mount_setattr(2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// A copy of the tree at `path` (relative to `dir`) with everything mounted below it; attached
// nowhere.
Result<Fd> clone_tree(int dir, const char* path);
// The same of what `place` is open on, which is attached in this mount namespace.
Result<Fd> clone_tree(const Fd& place);

// Without what is mounted below it: only where no more privileged namespace mounted there.
Result<Fd> clone_mount(const Fd& place);

// A fresh instance of a file system. `options`: "key=value,flag"; `attributes`: MOUNT_ATTR_*.
// `source`: what mountinfo shows as such; empty: the type.
Result<Fd> new_filesystem(const char* type, std::string_view options, std::uint64_t attributes,
                          const std::string& source = {});

// Attaches `tree` on what `destination` is open on.
Result<void> attach(const Fd& tree, const Fd& destination);

// The same for the name of something in an open directory (not followed).
Result<void> attach_at(const Fd& tree, int dir, const char* name);

// Sets MOUNT_ATTR_* on a tree and all below it. Flags that the host locked stay as they are:
// nothing is cleared.
Result<void> set_attributes(const Fd& tree, std::uint64_t attributes);

// What changes of a mount, or of all in a tree. `propagation`: one of MS_SHARED, MS_SLAVE,
// MS_PRIVATE, MS_UNBINDABLE; 0: as it is.
struct MountChange {
  std::uint64_t set = 0;
  std::uint64_t clear = 0;
  std::uint64_t propagation = 0;
  bool below = false;
};
Result<void> change_mount(const Fd& tree, const MountChange& change);

// From now on mount events come into this mount namespace and leave it no more.
Result<void> make_all_slaves();

// From now on no mount event passes between this mount namespace and another.
Result<void> make_all_private();

// From now on mount events pass from this mount namespace to those that are made in it.
Result<void> make_all_shared();

// `root` (attached) becomes /; the old root and everything mounted below it goes. `base`: where
// `root` is attached on, and what is to stay below it out of everybody's reach; not valid: nothing.
Result<void> pivot_to(const Fd& root, const Fd& base);

}  // namespace userns::frontend
