// Containers that are being made or deleted. What a killed process left of one is known by its free
// lock, and is swept.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/start/ids/choose_ids.h"
#include "frontend/store/registry.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// A directory of a store with a name that no verb takes for a container's, held by this process.
struct Unfinished {
  Container container;
  std::string directory;  // in the store
  Lock lock;
};

// An empty one for the container `name`. The holder of the registry may.
Result<Unfinished> begin_container(const Store& store, const Registry& held, std::string_view name);
// It becomes the container. Fails where another one got the name meanwhile.
Result<void> finish_container(const Store& store, const Unfinished& unfinished);

// The container is one no longer.
Result<Unfinished> end_container(const Store& store, const Container& container, Lock lock);
// The same of a directory whose name is not the container's, such as a base tree's.
Result<Unfinished> take_away(const Store& store, const Container& container,
                             const std::string& named, Lock lock);

// What others have begun. The holder of the registry may look: else one that is just begun seems to
// be left over.
struct Others {
  std::vector<Unfinished> litter;  // left over by processes that are gone
  bool being_made = false;         // a process makes a container `name` right now
};
Result<Others> look_around(const Store& store, const Registry& held, std::string_view name);

// Deletes it, with the rights of the ids that its config says. Can be done again where it was
// interrupted. Lets go of the lock if the file system keeps open files by a name (FUSE, NFS).
Result<void> remove_unfinished(const Store& store, Unfinished& unfinished);

// A map in which all of a container's files can be deleted, whatever it has inside: the caller is
// 0.
Result<ChosenIds> ids_to_delete_with(const Holder& holder);

// renameat2(2) with RENAME_NOREPLACE: 0, or -1 and errno, EEXIST if the name is taken. Some file
// systems have no such flag (FUSE, NFS). There a file gets the name as a second link and loses the
// first, which replaces nothing either. A directory is renamed after a look whether the name is
// free: what takes the name in between is replaced only if it is an empty directory, and containers
// and bases are never empty.
int rename_to_free_name(int from_dir, const char* from, int to_dir, const char* to);

}  // namespace userns::frontend
