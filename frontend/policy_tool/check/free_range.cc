#include "frontend/policy_tool/check/free_range.h"

#include <algorithm>

#include "frontend/policy_tool/check/checks.h"

namespace userns::frontend {

std::optional<IdRange> find_free(std::uint64_t count, IdRange where, std::vector<IdRange> taken) {
  std::ranges::sort(taken, {}, &IdRange::first);
  std::uint64_t at = where.first();
  for (const auto range : taken) {
    if (range.end() <= at) continue;
    if (range.first() >= at && range.first() - at >= count) break;
    at = range.end();
  }
  const auto free = IdRange::make(at, count);
  return free && where.contains(*free) ? free : std::nullopt;
}

std::vector<IdRange> taken_ids(const IdFacts& facts, std::string_view subid_text, IdKind kind) {
  std::vector<IdRange> taken;
  for (const auto& account : facts.taken)
    if (const auto one = IdRange::make(account.id, 1)) taken.push_back(*one);
  for (const auto& reserved : facts.reserved) taken.push_back(reserved.range);
  for (const auto& entry : subid_entries({}, subid_text, kind, nullptr))
    taken.push_back(entry.parsed.range);
  return taken;
}

}  // namespace userns::frontend
