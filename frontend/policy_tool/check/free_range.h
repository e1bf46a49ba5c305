// Ids that nobody has. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "frontend/policy_tool/check/facts.h"
#include "policy/id_range.h"

namespace userns::frontend {

// The lowest `count` ids within `where` that overlap none of `taken`.
std::optional<IdRange> find_free(std::uint64_t count, IdRange where, std::vector<IdRange> taken);

// Everything of one kind that is somebody's: accounts, reserved ids, the lines of a subid file.
std::vector<IdRange> taken_ids(const IdFacts& facts, std::string_view subid_text, IdKind kind);

}  // namespace userns::frontend
