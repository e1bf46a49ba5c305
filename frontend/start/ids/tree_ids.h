// Ids on disk and the ids that a mount shows for them: the two columns of an idmapped mount. Pure.
//
// Source: userns-idmap(8). In an extent here, inside() are ids on disk, outside() ids of the mount.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"
#include "policy/id_range.h"

namespace userns::frontend {

struct TreeIds {
  std::vector<Extent> uids;
  std::vector<Extent> gids;
  friend bool operator==(const TreeIds&, const TreeIds&) = default;
};

// What belongs to `uid` and `gid` (the caller's own) on disk is `inside`'s in the container; the
// container's other ids are themselves. Nothing if that is so without a mapping. Fails if `inside`
// is not one of the container's ids.
Result<std::optional<TreeIds>> own_files_as(const ChosenIds& ids, std::uint32_t uid,
                                            std::uint32_t gid, std::uint32_t inside);

// The ids of a container in a tree whose files belong to `block`. Nothing if the two are the same.
// Fails if the two have no id inside in common.
Result<std::optional<TreeIds>> block_as(const BlockIds& block, const ChosenIds& ids);
// Whether each of the block's ids is one of the container's, too: what belongs to another is
// nobody's there, and cannot even be deleted.
bool has_all_of(const BlockIds& block, const ChosenIds& ids);

}  // namespace userns::frontend
