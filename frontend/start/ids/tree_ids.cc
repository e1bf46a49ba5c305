#include "frontend/start/ids/tree_ids.h"

#include <algorithm>
#include <string_view>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

void add(std::vector<Extent>& extents, std::uint64_t disk, std::uint64_t shown,
         std::uint64_t count) {
  if (const auto extent = Extent::make(disk, shown, count)) extents.push_back(*extent);
}

std::optional<std::uint64_t> outside_of(const ChosenMap& map, std::uint32_t inside) {
  for (const auto& extent : map.extents)
    if (inside >= extent.inside().first() && inside < extent.inside().end())
      return extent.outside().first() + (inside - extent.inside().first());
  return std::nullopt;
}

// [first, end) as itself, but for one id.
void add_all_but(std::vector<Extent>& extents, std::uint64_t first, std::uint64_t end,
                 std::uint64_t left_out) {
  if (left_out < first || left_out >= end) return add(extents, first, first, end - first);
  add(extents, first, first, left_out - first);
  add(extents, left_out + 1, left_out + 1, end - left_out - 1);
}

// The caller's own id takes the place of the one that it is shown as.
Result<std::vector<Extent>> own_as(const ChosenMap& map, std::uint32_t own, std::uint32_t inside,
                                   std::string_view kind) {
  const auto shown = outside_of(map, inside);
  if (!shown)
    return fail({}, concat("idmap=", inside, ": the container has no ", kind, " ", inside,
                           ": name one that --map gives it"));
  std::vector<Extent> extents;
  add(extents, own, *shown, 1);
  for (const auto& extent : map.extents) {
    const auto range = extent.outside();
    if (own < range.first() || own >= range.end()) {
      add_all_but(extents, range.first(), range.end(), *shown);
      continue;
    }
    add_all_but(extents, range.first(), own, *shown);
    add_all_but(extents, std::uint64_t{own} + 1, range.end(), *shown);
  }
  return extents;
}

bool is_identity(const std::vector<Extent>& extents) {
  return std::ranges::all_of(
      extents, [](const Extent& one) { return one.inside().first() == one.outside().first(); });
}

std::optional<TreeIds> unless_same(TreeIds ids) {
  if (is_identity(ids.uids) && is_identity(ids.gids)) return std::nullopt;
  return ids;
}

// Where both have an id inside: what it is on disk, and what it is outside.
std::vector<Extent> joined(const std::vector<Extent>& block, const std::vector<Extent>& own) {
  std::vector<Extent> extents;
  for (const auto& disk : block)
    for (const auto& shown : own) {
      const auto first = std::max(disk.inside().first(), shown.inside().first());
      const auto end = std::min(disk.inside().end(), shown.inside().end());
      if (first >= end) continue;
      add(extents, disk.outside().first() + (first - disk.inside().first()),
          shown.outside().first() + (first - shown.inside().first()), end - first);
    }
  return extents;
}

std::uint64_t count_of(const std::vector<Extent>& extents) {
  std::uint64_t count = 0;
  for (const auto& extent : extents) count += extent.count();
  return count;
}

}  // namespace

Result<std::optional<TreeIds>> own_files_as(const ChosenIds& ids, std::uint32_t uid,
                                            std::uint32_t gid, std::uint32_t inside) {
  auto uids = TRY(own_as(ids.uids, uid, inside, "uid"));
  auto gids = TRY(own_as(ids.gids, gid, inside, "gid"));
  return unless_same({std::move(uids), std::move(gids)});
}

Result<std::optional<TreeIds>> block_as(const BlockIds& block, const ChosenIds& ids) {
  TreeIds both{joined(block.uids, ids.uids.extents), joined(block.gids, ids.gids.extents)};
  if (both.uids.empty() || both.gids.empty())
    return fail({}, "the container has none of the ids that the tree's files belong to");
  return unless_same(std::move(both));
}

bool has_all_of(const BlockIds& block, const ChosenIds& ids) {
  const auto has = [](const std::vector<Extent>& all, const std::vector<Extent>& own) {
    return count_of(joined(all, own)) == count_of(all);
  };
  return has(block.uids, ids.uids.extents) && has(block.gids, ids.gids.extents);
}

}  // namespace userns::frontend
