// Ids that processes have now, whether a container holds them or not: what has not ended keeps its
// ids, also where its container's directory was removed by hand.
#pragma once

#include <vector>

#include "frontend/start/ids/choose_ids.h"
#include "frontend/store/id_blocks.h"

namespace userns::frontend {

enum class Living {
  kAny,
  kLeft,  // not those below a userns-run or a monitor that runs: a throw-away container says itself
          // which ids it has
};

// A holder for each process that has one of the ids in `facts`: it holds all that its user
// namespace maps. One that does not show its namespace holds a block's length on either side.
std::vector<Holder> held_by_processes(const IdFacts& facts, Living which);

}  // namespace userns::frontend
