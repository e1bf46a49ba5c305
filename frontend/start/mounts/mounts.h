// The container's mounts, in two halves: what is opened with the caller's rights while the ids are
// being mapped, and what is put together by the container's root afterwards.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/start/mounts/overlay.h"
#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// Trees that are attached nowhere yet.
struct Sources {
  Layers layers;             // of the root, the rootfs last; none where there is no rootfs
  Changes changes;           // of --changes
  std::vector<Fd> idmapped;  // one per plan.idmapped, once the starter has sent them
  std::vector<Fd> steps;     // one per plan.mounts; none where it can only be made after the maps
  std::optional<dev_t> host_dev;                  // the file system of the host's /dev
  std::vector<std::string> notes;                 // what the caller is told
  std::vector<std::pair<const char*, Fd>> nodes;  // the host's harmless devices, for a private /dev
};

// In the new mount namespace, as the caller: the host's directories are searched with the caller's
// rights, so a tree in a closed home works. Makes all mounts private first.
Result<Sources> open_sources(const Plan& plan);

// With the rights of the container's root for files. Afterwards / is the container's root and, with
// own_root, nothing of the host's tree can be reached. Every mount is nodev but those of the
// devices in /dev and of devices that the caller binds.
Result<void> build_mounts(const Plan& plan, Sources& sources);

// After lock_mounts(), as the container's root: what its root may take away again.
Result<void> add_loose_mounts(const Plan& plan);

}  // namespace userns::frontend
