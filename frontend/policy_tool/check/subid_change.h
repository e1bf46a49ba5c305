// Changes to the texts of subuid and subgid. Pure: texts and facts in, texts out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/facts.h"
#include "frontend/policy_tool/check/living_ids.h"
#include "policy/error.h"
#include "policy/id_range.h"
#include "policy/ids.h"

namespace userns::frontend {

// One of the two files, and whose ids are in the way of a new range there.
struct SubidSide {
  IdKind kind = IdKind::kUid;
  std::string_view text;
  const IdFacts* facts = nullptr;
  std::span<const LivingIds> living;
};

// What a user is to have.
struct IdWish {
  std::span<const std::string> forms;  // of the owner, as lines have it; the first for new lines
  std::uint64_t count = 0;
  std::optional<std::uint64_t> first;  // --from
  std::uint32_t uid = 0;               // of the user: decides if login.defs says so
};

// A line for one of the files.
struct NewRange {
  IdKind kind = IdKind::kUid;
  IdRange range;
};

// What is missing until the owner has `count` ids in a row in both files: the same numbers in both,
// as useradd gives, where nobody has them. Ids that were given before come last, since files and
// processes may still have them. Nothing where nothing is missing. Where login.defs is
// deterministic, the ids are the user's own block, or there are none.
Result<std::vector<NewRange>> plan_ids(std::span<const SubidSide> sides, const IdWish& wish);

// `text` with a line more.
std::string with_range(std::string_view text, std::string_view owner, IdRange range);

// `text` without the owner's lines of exactly `count` ids; all of them where there is none.
struct WithoutRanges {
  std::string text;
  std::vector<IdRange> taken_away;
};
WithoutRanges without_ranges(const SubidSide& side, std::span<const std::string> forms,
                             std::optional<std::uint64_t> count);

// The ranges of every line that shadow obeys, also of those that we pass over: numbers in hex and
// octal, and a fourth field. What such a line gives is taken.
std::vector<IdRange> ranges_by_shadow(std::string_view subid_text);

}  // namespace userns::frontend
