// Deleting a tree whose files belong to ids of a container.
#pragma once

#include <cstdint>
#include <string>

#include "common/fd.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// Inside: `name` in `directory` with everything below it. By directory fds, never through a
// symbolic link or into a mount; trees of any depth with a bounded number of open files; what
// vanishes or appears meanwhile is not a failure. Goes on after a failure and returns the first
// one: which, why, and how many there were.
Result<void> remove_inside(int directory, const std::string& name);
// The same for everything in `directory`, which stays.
Result<void> empty_inside(int directory);

// From outside: `name` in `parent` (the caller's), with files of these ids and of the caller's own.
// In a map of its own; nothing where there is no such name.
Result<void> remove_tree(const ChosenIds& ids, const Fd& parent, const std::string& name);

}  // namespace userns::frontend
