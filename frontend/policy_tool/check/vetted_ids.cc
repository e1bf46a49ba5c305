#include "frontend/policy_tool/check/vetted_ids.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr int kMostRounds = 40;  // the room that is passed over doubles with each
constexpr std::uint64_t kPoints = 64;

struct Hit {
  IdKind kind = IdKind::kUid;
  Account account;
};

// The places most likely to show an account at first, then every id as long as there is time: far
// ones before near ones, so that accounts in a row are met early.
std::optional<Hit> first_hit(std::span<const NewRange> ranges, HostFacts& facts) {
  for (const auto& [kind, range] : ranges)
    for (const auto id : points_of(range))
      if (auto account = facts.ask_id(kind, id)) return Hit{kind, std::move(*account)};
  facts.not_asked = 0;
  if (facts.quiet_ranges_known) return std::nullopt;
  for (const auto& [kind, range] : ranges)
    for (const auto id : spread_over(range))
      if (!facts.may_ask_more || !facts.may_ask_more())
        ++facts.not_asked;
      else if (auto account = facts.ask_id(kind, id))
        return Hit{kind, std::move(*account)};
  return std::nullopt;
}

}  // namespace

std::vector<std::uint32_t> points_of(IdRange range) {
  std::vector<std::uint32_t> points;
  const auto step = std::max<std::uint64_t>(range.count() / kPoints, 1);
  for (auto id = range.first(); id < range.end(); id += step)
    points.push_back(static_cast<std::uint32_t>(id));
  if (points.back() != range.end() - 1)
    points.push_back(static_cast<std::uint32_t>(range.end() - 1));
  return points;
}

std::vector<std::uint32_t> spread_over(IdRange range) {
  const auto bits = static_cast<unsigned>(std::bit_width(range.count() - 1));
  std::vector<std::uint32_t> ids;
  for (std::uint64_t i = 0; i < std::uint64_t{1} << bits; ++i) {
    std::uint64_t reversed = 0;
    for (unsigned bit = 0; bit < bits; ++bit) reversed |= ((i >> bit) & 1U) << (bits - 1 - bit);
    if (reversed < range.count())
      ids.push_back(static_cast<std::uint32_t>(range.first() + reversed));
  }
  return ids;
}

Result<std::vector<NewRange>> plan_vetted_ids(std::span<const SubidSide> sides, const IdWish& wish,
                                              HostFacts& facts) {
  for (int round = 0; round < kMostRounds; ++round) {
    auto ranges = plan_ids(sides, wish);
    if (!ranges || facts.quiet.empty()) return ranges;
    auto hit = first_hit(*ranges, facts);
    if (!hit) return ranges;
    auto& ids = hit->kind == IdKind::kUid ? facts.uids : facts.gids;
    // Where one account of a directory is, its neighbours are likely others.
    const auto room = std::uint64_t{1} << static_cast<unsigned>(std::min(round + 8, 30));
    const std::uint64_t first = hit->account.id;
    if (const auto near = IdRange::make(first, std::min(room, kLargestId - first + 1)))
      ids.reserved.push_back({*near, Severity::kWarning, "directory-range",
                              concat("beside ", quoted(hit->account.name), " of a directory")});
    ids.taken.push_back(std::move(hit->account));
  }
  return fail({}, concat("the directory has accounts wherever ids would be free: name the ranges "
                         "that it uses in ids.conf, or choose a place with --from FIRST"));
}

}  // namespace userns::frontend
