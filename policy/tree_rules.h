// May this caller see this directory tree through the maps of this user namespace? The rules of
// userns-idmap.
//
// Pure: facts in, a grant or a refusal out. Rules and their meaning: userns-idmap(8), SECURITY.md.
// Source: mount_setattr(2), "ID-mapped mounts"; user_namespaces(7).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "policy/error.h"
#include "policy/id_range.h"
#include "policy/ids.h"
#include "policy/subid.h"
#include "policy/target.h"

namespace userns {

struct TreeRequest {
  int source = -1;  // an inherited fd of the directory
  Target userns;    // a process in the user namespace whose maps are meant
  int to = -1;      // an inherited fd of the socket that the mount is sent over
  bool read_only = false;
};
// The words of userns-idmap(8): ID-ARGS, IM-TARGET.
Result<TreeRequest> parse_tree_request(std::span<const std::string_view> words);

// The text of /proc/PID/uid_map or gid_map. ID-MAPS: a map that is not written, or not a map.
Result<std::vector<Extent>> parse_kernel_map(std::string_view text);

// What is judged of uids, or of gids.
struct TreeIds {
  IdKind kind = IdKind::kUid;
  std::uint64_t own = 0;  // the caller's real uid, or real gid
  // The inside column is ids on disk, the outside column ids of the mount.
  std::vector<Extent> map;
  const OwnedRanges* owned = nullptr;  // what policy delegates to the caller
  std::string_view source;             // where policy says so, for messages: "/etc/subuid"
};

// Everything that is judged. The facts come from fds that stay open until the act.
struct TreeFacts {
  Uid caller{0};
  Uid userns_owner{0};           // of the user namespace
  bool userns_is_child = false;  // its parent is the caller's own user namespace
  Uid tree_owner{0};             // of the directory
  std::array<TreeIds, 2> ids;
};

class TreeGrant;
Result<TreeGrant> decide(const TreeFacts& facts, const TreeRequest& request);

// Proof that decide() said yes.
class TreeGrant {
 public:
  [[nodiscard]] bool read_only() const { return read_only_; }

 private:
  explicit TreeGrant(bool read_only) : read_only_(read_only) {}
  friend Result<TreeGrant> decide(const TreeFacts& facts, const TreeRequest& request);
  bool read_only_;
};

}  // namespace userns
