// Deletes containers: files of every owner that the container's ids have, from inside a map of
// these.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// Fails, and nothing has happened, where it runs and `force` is not set, and where snapshots of it
// are left. After an interruption it is not a container any more, and destroy_rest() does the rest.
// An adopted root file system stays.
Result<void> destroy_container(const Store& store, const Container& container, bool force);

// What is left of an interrupted creation or deletion of a container of this name. False where
// there is nothing.
Result<bool> destroy_rest(const Store& store, std::string_view name);

// Fails where snapshots show the files that a start of it could change. `spec`: what is to be
// started.
Result<void> check_start(const Container& container, const Spec& spec);

// The containers that are snapshots of it.
Result<std::vector<std::string>> snapshots_of(const Store& store, std::string_view name);

// For a name that is free: no snapshot stands on a container of that name.
Result<void> check_not_awaited(const Store& store, std::string_view name);

// In a container's directory from before it is renamed until all of its snapshots know the new
// name: the old one. Whatever is killed meanwhile, they stay its snapshots.
inline constexpr const char* kRenamed = "renamed";
// Empty: it was not, or all know it.
std::string name_before(const Store& store, std::string_view name);

// What killed processes have left in the store, of containers and of base trees. Why some of it is
// still there: a sentence for each.
Result<std::vector<Error>> remove_litter(const Store& store);

}  // namespace userns::frontend
