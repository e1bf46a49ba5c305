// Snapshots of a container that it can be put back to.
//
//   PATH/NAME/snapshots/S    the config file at that time; its `base-tree` has the files
//
// The container goes on with its files: taking one moves them below it as a base tree
// (frontend/store/base_trees.h), and nothing is copied. If too many stand one on the other already,
// the snapshot is a copy.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

struct Snapshot {
  std::string name;
  std::int64_t taken_at = 0;  // seconds since 1970
};

// The container does not run. `name`: none: snap0, snap1 ... A signal: EINTR. Returns its name.
Result<std::string> take_snapshot(const Store& store, const Container& container,
                                  const std::optional<std::string>& name);
// The oldest first.
Result<std::vector<Snapshot>> snapshots_in(const Container& container);
// The container, which does not run, has the files and settings of then, and the ids of now.
Result<void> restore_snapshot(const Store& store, const Container& container,
                              const std::string& name);
// Its files are deleted if nothing else stands on them.
Result<void> delete_snapshot(const Store& store, const Container& container,
                             const std::string& name);

}  // namespace userns::frontend
