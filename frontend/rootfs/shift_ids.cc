#include "frontend/rootfs/shift_ids.h"

#include <algorithm>

#include "policy/idmap.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::uint64_t end_of(const ChosenMap& map) {
  std::uint64_t end = 0;
  for (const auto& extent : map.extents) end = std::max(end, extent.inside().end());
  return end;
}

// `to` after `from`: the common map, and where each extent of `to` went.
Result<std::vector<Extent>> append(ChosenMap& both, const ChosenMap& to) {
  std::vector<Extent> moved;
  if (both.extents == to.extents) return to.extents;
  auto place = end_of(both);
  for (const auto& extent : to.extents) {
    const auto there = Extent::make(place, extent.outside().first(), extent.count());
    if (!there)
      return fail(
          {}, "the ids of both containers do not fit into one map: one has an id near the largest");
    both.extents.push_back(*there);
    moved.push_back(*there);
    place = there->inside().end();
  }
  if (to.writer == MapWriter::kHelper || both.writer != to.writer) both.writer = MapWriter::kHelper;
  if (const auto valid = IdMap::from_extents(both.extents); !valid)
    return fail({},
                concat("the files can't be copied from these ids to those: ", valid.error().text));
  return moved;
}

}  // namespace

std::optional<std::uint32_t> IdShift::operator()(std::uint32_t id) const {
  const auto one = IdRange::make(id, 1);
  for (const auto& piece : pieces_)
    if (one && piece.ids.contains(*one))
      return static_cast<std::uint32_t>(piece.place + (id - piece.ids.first()));
  return std::nullopt;
}

Result<BothIds> both_ids(const ChosenIds& from, const ChosenIds& to) {
  BothIds both{.ids = from, .uids = {}, .gids = {}};
  const auto uids = TRY(append(both.ids.uids, to.uids));
  const auto gids = TRY(append(both.ids.gids, to.gids));
  both.ids.deny_setgroups = both.ids.gids.writer == MapWriter::kSelf && from.deny_setgroups;
  for (std::size_t i = 0; i < to.uids.extents.size(); ++i)
    both.uids.pieces_.push_back(
        {to.uids.extents[i].inside(), static_cast<std::uint32_t>(uids[i].inside().first())});
  for (std::size_t i = 0; i < to.gids.extents.size(); ++i)
    both.gids.pieces_.push_back(
        {to.gids.extents[i].inside(), static_cast<std::uint32_t>(gids[i].inside().first())});
  return both;
}

}  // namespace userns::frontend
