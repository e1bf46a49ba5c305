// May this caller write this map for this process? The rules of newuidmap and newgidmap.
//
// Pure: facts in, a grant or a refusal out. Rules and their meaning: newuidmap(1), SECURITY.md.
#pragma once

#include <string_view>

#include "policy/error.h"
#include "policy/idmap.h"
#include "policy/ids.h"
#include "policy/subid.h"

namespace userns {

// Everything that is judged. The facts come from fds that stay open until the act.
struct MapFacts {
  IdKind kind = IdKind::kUid;
  Uid caller_uid{0};
  Gid caller_gid{0};             // real gid
  std::string_view caller_name;  // login name, empty where the uid has none
  // The target process, as /proc/PID says.
  Uid target_uid{0};
  Gid target_gid{0};
  // The caller's real gid is the primary group of the caller's login, or login.defs(5) allows
  // others.
  bool group_may_delegate = true;
  // What policy delegates to the caller.
  const OwnedRanges* owned = nullptr;
  std::string_view owned_source;  // "/etc/subuid", or "NSS source sss"
  const SubidScanner::Skipped* skipped = nullptr;
};

// Whether the extent maps exactly the caller's own uid, or real gid: no policy is needed for it.
bool is_own_id(IdKind kind, Uid uid, Gid gid, const Extent& extent);

class MapGrant;
Result<MapGrant> decide(const MapFacts& facts, const IdMap& request);

// Proof that decide() said yes. Holds the request, so that what is written is what was judged.
class MapGrant {
 public:
  [[nodiscard]] const IdMap& map() const { return map_; }
  // gid maps only: none of the ids was delegated, so setgroups(2) must be denied first
  // (CVE-2018-7169).
  [[nodiscard]] bool deny_setgroups() const { return deny_setgroups_; }
  // Outside id 0 is mapped (only ever for root): the kernel wants CAP_SETFCAP for it.
  [[nodiscard]] bool needs_setfcap() const { return map_.outside_root() != nullptr; }

 private:
  MapGrant(IdMap map, bool deny_setgroups)
      : map_(std::move(map)), deny_setgroups_(deny_setgroups) {}
  friend Result<MapGrant> decide(const MapFacts& facts, const IdMap& request);
  IdMap map_;
  bool deny_setgroups_;
};

}  // namespace userns
