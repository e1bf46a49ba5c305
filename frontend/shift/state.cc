#include "frontend/shift/state.h"

#include <sys/stat.h>

#include "policy/try.h"

namespace userns::shift {

bool InodeState::is_fragile() const {
  return !S_ISDIR(mode) && !S_ISLNK(mode) &&
         ((mode & (S_ISUID | S_ISGID)) != 0 || !capability.empty());
}

Result<Shifted> shifted(const InodeState& state, const Shift& shift) {
  Shifted out{.state = state, .tally = {}};
  out.tally.add(shift.uids, state.uid);
  out.tally.add(shift.gids, state.gid);
  out.state.uid = shift.uids.of(state.uid);
  out.state.gid = shift.gids.of(state.gid);
  for (auto* const acl : {&out.state.access_acl, &out.state.default_acl}) {
    if (acl->empty()) continue;
    auto moved = TRY(shift_acl(*acl, shift, out.tally));
    *acl = std::move(moved);
  }
  if (!state.capability.empty()) {
    auto moved = TRY(shift_capability(state.capability, shift.uids, out.tally));
    out.state.capability = std::move(moved);
  }
  return out;
}

}  // namespace userns::shift
