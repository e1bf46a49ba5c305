#include "frontend/start/ids/choose_ids.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "policy/idmap.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// As many lines of a map, each of three ten-digit numbers, always fit into what the kernel takes.
constexpr std::size_t kMostAutoExtents = kMaxMapBytes / 33;

std::optional<IdRange> range_from(std::uint64_t first, std::uint64_t end) {
  return first < end ? IdRange::make(first, end - first) : std::nullopt;
}

// Where the block begins: at the first line, in the order of the file, from which on there is a
// whole one; so a line that comes later, or lower, moves nothing. Else the largest range.
std::optional<IdRange> base_of(std::span<const IdRange> usable, std::span<const IdRange> lines) {
  for (const auto& line : lines)
    for (const auto& range : usable) {
      const auto from = range_from(std::max(line.first(), range.first()), range.end());
      if (range.first() < line.end() && line.first() < range.end() && from &&
          from->count() >= kAutoBlock)
        return from;
    }
  const auto largest = std::ranges::max_element(usable, {}, &IdRange::count);
  const auto whole = std::ranges::find_if(
      usable, [](const IdRange& range) { return range.count() >= kAutoBlock; });
  if (whole != usable.end()) return *whole;
  return largest == usable.end() ? std::nullopt : std::optional(*largest);
}

// Outside id 0 is left out unless the caller may map it: no policy gives it away.
std::vector<IdRange> usable_of(const AutoSource& source, bool privileged) {
  std::vector<IdRange> usable;
  for (const auto& range : source.ranges) {
    const bool skips = range.first() == 0 && !privileged;
    if (const auto rest = range_from(skips ? 1 : range.first(), range.end()))
      usable.push_back(*rest);
  }
  return usable;
}

// kAutoBlock ids from inside id 0 on: from the base, then of what else there is, the lowest first.
std::vector<Extent> first_block(const AutoSource& source, bool privileged) {
  const auto usable = usable_of(source, privileged);
  const auto base = base_of(usable, source.lines);
  if (!base) return {};
  std::vector<IdRange> order{*base};
  for (const auto& range : usable) {
    const bool has_base = range.contains(*base);
    const auto before = range_from(range.first(), has_base ? base->first() : range.end());
    if (before) order.push_back(*before);
  }
  std::vector<Extent> extents;
  std::uint64_t inside = 0;
  for (const auto& range : order) {
    const auto count = std::min(range.count(), kAutoBlock - inside);
    const auto extent = Extent::make(inside, range.first(), count);
    if (extent) extents.push_back(*extent);
    if (extent) inside += count;
    if (inside == kAutoBlock || extents.size() == kMostAutoExtents) break;
  }
  return extents;
}

std::string who(const IdFacts& facts) {
  return facts.caller_name.empty() ? concat("uid ", facts.uid) : std::string(facts.caller_name);
}

std::unexpected<Error> none_delegated(const IdFacts& facts, std::string_view source) {
  const auto owner = facts.caller_name.empty() ? concat(facts.uid) : std::string(facts.caller_name);
  return fail({}, concat(who(facts), " has no subordinate ids in ", source,
                         ": ask the administrator to run \"userns-policy grant ", owner,
                         " --ids 65536\", or use --map-self to be the only id inside"));
}

Result<ChosenIds> automatic(const IdFacts& facts, const MapAuto& wish) {
  ChosenIds ids;
  ids.uids.extents = first_block(facts.uids, facts.privileged);
  if (ids.uids.extents.empty()) return none_delegated(facts, facts.uids.name);
  ids.gids.extents = first_block(facts.gids, facts.privileged);
  if (ids.gids.extents.empty()) return none_delegated(facts, facts.gids.name);
  keep_own_ids(ids, facts, wish);
  return ids;
}

ChosenIds only_self(const IdFacts& facts, const Spec& spec) {
  ChosenIds ids;
  if (const auto uid = Extent::make(spec.uid, facts.uid, 1)) ids.uids.extents.push_back(*uid);
  if (const auto gid = Extent::make(spec.gid, facts.gid, 1)) ids.gids.extents.push_back(*gid);
  return ids;
}

ChosenIds as_wished(const std::vector<MapWish>& wishes) {
  ChosenIds ids;
  for (const auto& wish : wishes) {
    if (wish.which != MapWish::Which::kGid) ids.uids.extents.push_back(wish.extent);
    if (wish.which != MapWish::Which::kUid) ids.gids.extents.push_back(wish.extent);
  }
  return ids;
}

Result<ChosenIds> extents_of(const Spec& spec, const IdFacts& facts) {
  if (std::holds_alternative<MapAuto>(spec.mapping))
    return automatic(facts, std::get<MapAuto>(spec.mapping));
  if (std::holds_alternative<MapSelf>(spec.mapping)) return only_self(facts, spec);
  return as_wished(std::get<std::vector<MapWish>>(spec.mapping));
}

// Each extent as the kernel takes it: one for each piece that its outside ids lie in. Ids that are
// in no piece stay as they are, for the kernel or a helper to refuse.
std::vector<Extent> split(const std::vector<Extent>& extents, std::span<const IdRange> pieces) {
  std::vector<Extent> parts;
  for (const auto& extent : extents) {
    std::uint64_t done = 0;
    while (done < extent.count()) {
      const auto from = extent.outside().first() + done;
      auto count = extent.count() - done;
      for (const auto& piece : pieces) {
        if (piece.first() <= from && from < piece.end())
          count = std::min(count, piece.end() - from);
        if (piece.first() > from) count = std::min(count, piece.first() - from);
      }
      if (const auto part = Extent::make(extent.inside().first() + done, from, count))
        parts.push_back(*part);
      done += count;
    }
  }
  return parts;
}

bool is_only(const ChosenMap& map, std::uint32_t own_id) {
  return map.extents.size() == 1 && map.extents[0].count() == 1 &&
         map.extents[0].outside().first() == own_id;
}

MapWriter writer_of(const ChosenMap& map, std::uint32_t own_id, bool privileged) {
  if (map.extents.empty()) return MapWriter::kNobody;
  return privileged || is_only(map, own_id) ? MapWriter::kSelf : MapWriter::kHelper;
}

Result<void> check_map(const ChosenMap& map, std::string_view kind) {
  if (map.extents.empty()) return {};
  const auto valid = IdMap::from_extents(map.extents);
  if (!valid)
    return fail(valid.error().rule,
                concat("the ", kind, " map is not possible: ", valid.error().text));
  return {};
}

std::string ranges_inside(const ChosenMap& map) {
  std::string text;
  for (const auto& extent : map.extents)
    text += concat(text.empty() ? "" : ", ", to_text(extent.inside()));
  return text;
}

// An empty map stays empty on purpose (or is written by hand, with --wait): then nothing can be
// said about what is inside.
Result<void> check_inside(const ChosenMap& map, std::uint32_t id, std::string_view kind) {
  if (map.extents.empty() || map.has(id)) return {};
  return fail({}, concat(kind, " ", id, " does not exist inside (", ranges_inside(map),
                         " are mapped): map it with --map ", kind.substr(0, 1), ":", id,
                         ":OUTSIDE:1, or choose another with --", kind));
}

Result<void> check_groups(const Spec& spec, const ChosenIds& ids) {
  for (const auto group : spec.groups)
    if (const auto exists = check_inside(ids.gids, group, "gid"); !exists) return exists;
  if (spec.groups.empty() || !ids.deny_setgroups) return {};
  return fail({},
              "--groups is not possible with a gid map of one's own id alone: the kernel forbids "
              "setgroups(2) there "
              "(a group could take rights away); map delegated gids as well, with --map auto or "
              "--map g:INSIDE:OUTSIDE:COUNT");
}

Result<void> check(const Spec& spec, const ChosenIds& ids) {
  if (const auto valid = check_map(ids.uids, "uid"); !valid) return valid;
  if (const auto valid = check_map(ids.gids, "gid"); !valid) return valid;
  if (const auto exists = check_inside(ids.uids, spec.uid, "uid"); !exists) return exists;
  if (const auto exists = check_inside(ids.gids, spec.gid, "gid"); !exists) return exists;
  return check_groups(spec, ids);
}

}  // namespace

void keep_own_ids(ChosenIds& ids, const IdFacts& facts, const MapAuto& wish) {
  if (!wish.keep_id) return;
  ids.uids.set_one(wish.inside.value_or(facts.uid), facts.uid);
  ids.gids.set_one(wish.inside.value_or(facts.gid), facts.gid);
}

void ChosenMap::set_one(std::uint32_t inside, std::uint32_t outside) {
  std::vector<Extent> parts;
  const auto add = [&](std::uint64_t first, std::uint64_t out, std::uint64_t count) {
    const auto part = count > 0 ? Extent::make(first, out, count) : std::nullopt;
    if (part) parts.push_back(*part);
  };
  // Both an id inside and one outside are in a map once.
  const auto cut = [&](std::uint64_t at) {
    const auto before = std::exchange(parts, {});
    for (const auto& extent : before) {
      const auto first = extent.inside().first();
      const auto out = extent.outside().first();
      if (at < first || at >= first + extent.count()) {
        parts.push_back(extent);
        continue;
      }
      add(first, out, at - first);
      add(at + 1, out + (at - first) + 1, first + extent.count() - at - 1);
    }
  };
  parts = extents;
  for (const auto& extent : extents) {
    const auto out = extent.outside().first();
    if (outside >= out && outside < out + extent.count())
      cut(extent.inside().first() + outside - out);
  }
  cut(inside);
  add(inside, outside, 1);
  std::ranges::sort(parts, {}, [](const Extent& extent) { return extent.inside().first(); });
  extents = std::move(parts);
}

bool ChosenMap::has(std::uint32_t id) const {
  const auto one = IdRange::make(id, 1);
  return one && std::ranges::any_of(
                    extents, [&](const Extent& extent) { return extent.inside().contains(*one); });
}

Result<ChosenIds> choose_ids(const Spec& spec, const IdFacts& facts) {
  auto ids = extents_of(spec, facts);
  if (!ids) return ids;
  ids->uids.extents = split(ids->uids.extents, facts.uid_pieces);
  ids->gids.extents = split(ids->gids.extents, facts.gid_pieces);
  ids->uids.writer = writer_of(ids->uids, facts.uid, facts.privileged);
  ids->gids.writer = writer_of(ids->gids, facts.gid, facts.privileged);
  ids->deny_setgroups =
      facts.setgroups_denied || (ids->gids.writer == MapWriter::kSelf && !facts.privileged);
  TRY(check(spec, *ids));
  return ids;
}

}  // namespace userns::frontend
