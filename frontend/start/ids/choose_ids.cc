#include "frontend/start/ids/choose_ids.h"

#include <algorithm>

#include "policy/idmap.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// As many lines of a map, each of three ten-digit numbers, always fit into what the kernel takes.
constexpr std::size_t kMostAutoExtents = kMaxMapBytes / 33;

// The first kAutoBlock ids of `ranges`, from inside id 0 on. Outside id 0 is left out unless the
// caller may map it: no policy gives it away.
std::vector<Extent> first_block(std::span<const IdRange> ranges, bool privileged) {
  std::vector<Extent> extents;
  std::uint64_t inside = 0;
  for (const auto& range : ranges) {
    const std::uint64_t skipped = range.first() == 0 && !privileged ? 1 : 0;
    const std::uint64_t count = std::min(range.count() - skipped, kAutoBlock - inside);
    const auto extent = Extent::make(inside, range.first() + skipped, count);
    if (extent && extents.size() < kMostAutoExtents) extents.push_back(*extent);
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

Result<ChosenIds> automatic(const IdFacts& facts) {
  ChosenIds ids;
  ids.uids.extents = first_block(facts.uids.ranges, facts.privileged);
  if (ids.uids.extents.empty()) return none_delegated(facts, facts.uids.name);
  ids.gids.extents = first_block(facts.gids.ranges, facts.privileged);
  if (ids.gids.extents.empty()) return none_delegated(facts, facts.gids.name);
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
  if (std::holds_alternative<MapAuto>(spec.mapping)) return automatic(facts);
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
  if (auto checked = check(spec, *ids); !checked) return std::unexpected(checked.error());
  return ids;
}

}  // namespace userns::frontend
