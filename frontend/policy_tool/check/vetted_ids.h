// Ids for a grant that a directory was asked about, too.
#pragma once

#include <span>
#include <vector>

#include "frontend/policy_tool/check/facts.h"
#include "frontend/policy_tool/check/subid_change.h"
#include "policy/error.h"

namespace userns::frontend {

// As plan_ids(), and then asks the name service for the first and the last id of each range, for
// some between them, and for all others while there is time, if it may have accounts that it does
// not list. An answer is somebody's id: the
// next free range is tried. `facts` are those that `sides` point to; what was learnt is added.
Result<std::vector<NewRange>> plan_vetted_ids(std::span<const SubidSide> sides, const IdWish& wish,
                                              HostFacts& facts);

// Ids of a range that are worth asking for: its ends, and some that are evenly between.
std::vector<std::uint32_t> points_of(IdRange range);
// Every id of a range once, of the two halves in turn, and so on within them.
std::vector<std::uint32_t> spread_over(IdRange range);

}  // namespace userns::frontend
