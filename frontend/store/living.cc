#include "frontend/store/living.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "frontend/store/remains.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// Which of its ids are in the caller's ranges.
std::vector<IdRange> around(const std::vector<std::uint32_t>& ids, std::uint64_t width) {
  std::vector<IdRange> ranges;
  for (const std::uint64_t id : ids) {
    const auto first = id - std::min(id, width);
    if (const auto range = IdRange::make(first, id - first + width + 1)) ranges.push_back(*range);
  }
  return ranges;
}

std::vector<IdRange> ranges_of(const AutoSource& source) {
  return {source.ranges.begin(), source.ranges.end()};
}

Holder holder_from(const Seen& seen) {
  auto mapped = seen.mapped();
  if (!mapped.uids.empty() || !mapped.gids.empty())
    return {.path = {}, .uids = std::move(mapped.uids), .gids = std::move(mapped.gids)};
  const auto width = seen.hides() ? kAutoBlock - 1 : 0;
  return {.path = {}, .uids = around(seen.uids(), width), .gids = around(seen.gids(), width)};
}

}  // namespace

std::vector<Holder> held_by_processes(const IdFacts& facts, Living which) {
  // To root every id is one's own, also those of the host's daemons.
  if (facts.privileged) return {};
  const OwnIds delegated{.uids = ranges_of(facts.uids), .gids = ranges_of(facts.gids)};
  std::vector<Holder> holders;
  const auto found = remains(
      [&](const Seen& seen) {
        if (!seen.has_one_of(delegated)) return false;
        if (which == Living::kLeft && is_below_a_run(seen)) return false;
        holders.push_back(holder_from(seen));
        return true;
      },
      false);
  for (std::size_t at = 0; at < holders.size(); ++at)
    holders[at].path = concat(to_text({found[at]}), ", which still runs");
  return holders;
}

}  // namespace userns::frontend
