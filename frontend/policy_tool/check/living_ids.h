// Ids that processes have now, whatever the policy files say. Source: proc(5), user_namespaces(7).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/id_range.h"
#include "policy/ids.h"

namespace userns::frontend {

// Ids of one process: one that it has, or a range that its user namespace maps.
struct LivingIds {
  IdRange range;
  int pid = 0;
  std::string command;  // as the process calls itself: text from elsewhere
  // Of a mapped range: who made the outermost of the process's user namespaces; nothing where that
  // cannot be seen.
  std::optional<std::uint32_t> maker = {};
};

// One walk of /proc. Processes that end meanwhile are passed over. Ids of the initial user
// namespace's whole map are not meant. Only root sees the maps of others.
std::vector<LivingIds> living_ids(IdKind kind);

}  // namespace userns::frontend
