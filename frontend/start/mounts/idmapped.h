// A directory tree with other ids than it has on disk: userns-idmap makes the mount, a process of
// ours holds the maps meanwhile.
//
// As the caller, outside of the container: inside, setuid programs are worth nothing.
#pragma once

#include <string>

#include "common/fd.h"
#include "frontend/start/ids/tree_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// `source`: a result of plain_source(), a directory. The mount is attached nowhere, nodev, and its
// flags are locked (userns-idmap(8)). Who may use it: any process that gets the fd and may mount.
Result<Fd> idmapped_mount(const std::string& source, const TreeIds& ids, bool read_only);
Result<Fd> idmapped_mount(const Fd& directory, const TreeIds& ids, bool read_only);

}  // namespace userns::frontend
