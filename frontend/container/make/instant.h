// Containers without a copy: on a base tree that is shown with the container's ids.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "frontend/rootfs/fill.h"
#include "frontend/start/ids/choose_ids.h"
#include "frontend/store/base_trees.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// An image in a store of images.
struct ImageParts {
  std::string id;                                      // of the base tree that it becomes
  std::function<Result<Fd>(const std::string&)> open;  // "index.json", "blobs/sha256/..."
};

// Whether a tree here can be shown with other ids; else the reason, as an error. `dir`: one of the
// caller's, in the store.
Result<void> try_idmap(const Fd& dir, const ChosenIds& ids);

// Whether a container of this store has stood on a base tree under this kernel, and the helper is
// still there: then nothing is tried again, which takes ten processes.
bool is_known_to_work(const Store& store);
void note_that_it_works(const Store& store);

// The base tree of an image, unpacked if it is not there yet. A signal: EINTR.
Result<Container> base_of_image(const Store& store, const ImageParts& image, const FillHow& how);

// A copy of the base tree of an image, if it is there. `target`: as fill.h has it.
Result<std::optional<Filled>> fill_from_base(const Store& store, const std::string& id,
                                             const ChosenIds& ids, const Fd& target,
                                             const FillHow& how);

// A base tree `id` with a copy of the files of a container, which does not run and whose lock is
// held. It stands on no other. A signal: EINTR.
Result<void> base_of_copy(const Store& store, const Container& container, const std::string& id);

// What stands in the way of moving a container's files below it as a base tree; empty: nothing.
std::string why_not_shared(const Store& store, const Container& container,
                           const ConfigFile& config);

// The ids of the base tree of an image, also before there is one.
Result<BlockIds> block_of_image(const Store& store, const std::string& id);

// The layers of a container's tree, the changes first, each shown with the container's ids.
Result<std::vector<Fd>> tree_layers(const Spec& spec, const ChosenIds& ids);

}  // namespace userns::frontend
