// Another container of the store, which a new one begins with: create --from.
#pragma once

#include <string>

#include "frontend/container/make/create.h"
#include "frontend/rootfs/fill.h"
#include "frontend/start/ids/choose_ids.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// Held, so that it neither starts nor goes away meanwhile.
struct Other {
  Container container;
  Lock lock;
  Spec spec;
  ChosenIds ids;
  bool runs = false;
};

Result<Other> open_other(const Store& store, const FromContainer& from);
// Its settings, then those that were asked for: of a key that takes one value, these.
Result<ConfigFile> begin_with(const Other& other, const CreateWish& wish);

// What stands in the way of sharing its files; empty if nothing does.
std::string why_not_shared(const Store& store, const Other& other);
// The ID of a base tree with its files; of one that runs, without what it has changed.
Result<std::string> share_tree(const Store& store, const Other& other);
// What one that runs has changed, for a container of this Spec that is to stand on the same tree.
Result<void> copy_changes(const Other& other, const Container& container, const Spec& spec,
                          const FillHow& how);
Result<void> drop_changes(const Container& container, const Spec& spec);

}  // namespace userns::frontend
