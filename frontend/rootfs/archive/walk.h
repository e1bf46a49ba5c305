// Places below a root directory, reached from name to name by directory fds: whatever the tree
// holds or turns into meanwhile, nothing outside of it is met.
//
// A symbolic link on the way (usr-merged trees have them: lib -> usr/lib) is followed as a process
// would whose root this is (openat2(2), RESOLVE_IN_ROOT); the last name is never followed. Mount
// points are not entered, unless that is asked for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

using Names = std::vector<std::string_view>;

class Walk {
 public:
  // `top` must live as long.
  explicit Walk(const Fd& top, bool enters_mounts = false)
      : top_(top), enters_mounts_(enters_mounts) {}

  // The directory in which the last of `names` (at least one) is, open with O_PATH; valid until the
  // next call. Missing directories are made (0:0, 0755) where `make` says so.
  Result<int> parent_of(const Names& names, bool make);

 private:
  struct Level {
    std::string name;
    Fd directory;
  };
  Result<Fd> step(int from, const Names& names, std::size_t depth, bool make) const;

  const Fd& top_;
  bool enters_mounts_;
  std::vector<Level> levels_;  // of the last path: the next one is mostly in the same directory
};

}  // namespace userns::frontend
