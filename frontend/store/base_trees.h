// Trees that containers stand on: unpacked once, never written to again. A container that stands on
// one is an overlay over it, with ids of its own.
//
//   PATH/.ID.base/
//     config    `map`: whom the files belong to; `base-tree`: what this one stands on itself
//     rootfs/   the files; or, of what stands on another one, what differs (an overlay's upper)
//     image     what the image says about how to run it, if it came from one
//     data      how many bytes of data its files have, in decimal, if it came from an image
//     lock      flock(2): shared by whoever reads it without standing on it
//
// Its ids are nobody's to be careful with: no container can reach it but through the overlay, whose
// lower layers are read-only mounts of the other ids, out of sight.
//
// Who moves a container's own files here writes the container's config first. So a base without
// rootfs/ is one that was never filled: the container's own files are still its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "frontend/rootfs/archive/image_config.h"
#include "frontend/spec/spec.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// A layer of an overlay for each.
inline constexpr std::size_t kMostTrees = 8;

// In a container's directory: the config of each snapshot of it, which stands on a base tree, too.
inline constexpr const char* kSnapshots = "snapshots";

// For a base tree that comes from no image: no other has it.
std::string fresh_tree_id();

std::string base_directory(std::string_view id);
// The ID of ".ID.base"; nothing for all other names.
std::optional<std::string> base_id(std::string_view directory);

// The value of `base-tree`; nothing where a container has a tree of its own.
std::optional<std::string> base_tree_of(const ConfigFile& config);

Result<Container> find_base(const Store& store, const std::string& id);

struct BaseTree {
  std::string id;
  std::string path;  // of its files
  BlockIds block;
};
// What `config` stands on, the topmost first; those that were never filled are left out.
Result<std::vector<BaseTree>> trees_of(const Store& store, const ConfigFile& config);

// Those of the store. Sorted.
Result<std::vector<std::string>> all_bases(const Store& store);
// Those of them that no container and no other base stands on.
Result<std::vector<std::string>> unused_bases(const Store& store);
// Deletes it with its files. remove_unused_base(): false if a run holds it, or something stands on
// it by now.
Result<void> remove_base(const Store& store, const std::string& id);
Result<bool> remove_unused_base(const Store& store, const std::string& id);

// The files of `container`, whose lock is held and which does not run, become a base, and it stands
// on that from now on. Nothing is copied. `fresh`: its config from then on, but for `base-tree`;
// the files belong to the ids of the one before. The new base's ID.
Result<std::string> seal_tree(const Store& store, const Container& container, const Lock& lock,
                              const ConfigFile& fresh);

// As long as the result is open, nobody deletes it.
Result<Fd> hold_base(const Container& base);
// What stands in the file `data`; 0 if there is none.
std::uint64_t data_of_base(const Container& base);
// What stands in the file `image`.
Result<std::optional<ImageConfig>> read_image_file(const Container& base);

}  // namespace userns::frontend
