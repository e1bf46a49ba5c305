#include "frontend/store/id_blocks.h"

#include <algorithm>
#include <functional>

#include "frontend/spec/values.h"
#include "policy/idmap.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Ranges = std::vector<IdRange>;

// As many lines of a map, each of three ten-digit numbers, always fit into what the kernel takes.
constexpr std::size_t kMostPieces = kMaxMapBytes / 33;
// More names make no message clearer.
constexpr std::size_t kMostNamed = 5;

void add(Ranges& ranges, std::uint64_t first, std::uint64_t end) {
  if (first >= end) return;
  if (const auto range = IdRange::make(first, end - first)) ranges.push_back(*range);
}

// `ranges` without `taken`, both sorted.
Ranges without(std::span<const IdRange> ranges, Ranges taken) {
  std::ranges::sort(taken, {}, &IdRange::first);
  Ranges free;
  for (const auto& range : ranges) {
    std::uint64_t at = range.first();
    for (const auto& other : taken) {
      if (other.end() <= at || other.first() >= range.end()) continue;
      add(free, at, other.first());
      at = std::max(at, other.end());
    }
    add(free, at, range.end());
  }
  return free;
}

std::uint64_t total(std::span<const IdRange> ranges) {
  std::uint64_t sum = 0;
  for (const auto& range : ranges) sum += range.count();
  return sum;
}

// No policy gives the host's root away.
Ranges usable(const AutoSource& source, bool privileged) {
  Ranges taken;
  if (!privileged) add(taken, 0, 1);
  return without(source.ranges, taken);
}

// From one range where it is large enough, else from several, the largest first: a single id that
// is delegated for another purpose is not to be root's.
std::vector<Extent> lay_out(Ranges free, std::uint64_t count) {
  const auto whole =
      std::ranges::find_if(free, [&](const IdRange& range) { return range.count() >= count; });
  const bool is_whole = whole != free.end();
  if (!is_whole) std::ranges::stable_sort(free, std::ranges::greater{}, &IdRange::count);
  const auto pieces = is_whole ? std::span(whole, 1) : std::span(free);
  std::vector<Extent> extents;
  std::uint64_t inside = 0;
  for (const auto& range : pieces) {
    if (inside == count || extents.size() == kMostPieces) break;
    const auto extent =
        Extent::make(inside, range.first(), std::min(range.count(), count - inside));
    if (extent) extents.push_back(*extent);
    inside += std::min(range.count(), count - inside);
  }
  return inside == count ? extents : std::vector<Extent>{};
}

struct Kind {
  std::string_view name;  // "uid"
  const AutoSource& source;
  Ranges Holder::* held;
  std::optional<std::uint32_t> root;
};

Ranges all_held(std::span<const Holder> holders, Ranges Holder::* held) {
  Ranges all;
  for (const auto& holder : holders)
    all.insert(all.end(), (holder.*held).begin(), (holder.*held).end());
  return all;
}

bool overlap(std::span<const IdRange> a, std::span<const IdRange> b) {
  return std::ranges::any_of(a, [&](const IdRange& one) {
    return std::ranges::any_of(b, [&](const IdRange& two) { return one.overlaps(two); });
  });
}

std::string names_of_holders(std::span<const Holder> holders, Ranges Holder::* held,
                             const Ranges& owned) {
  std::string text;
  std::size_t count = 0;
  for (const auto& holder : holders) {
    if (!overlap(holder.*held, owned)) continue;
    if (count < kMostNamed) text += concat(count == 0 ? "" : ", ", holder.path);
    ++count;
  }
  if (count > kMostNamed) text += concat(" and ", count - kMostNamed, " more");
  return text;
}

std::string login(const IdFacts& facts) {
  return facts.caller_name.empty() ? concat(facts.uid) : std::string(facts.caller_name);
}

std::unexpected<Error> run_out(const IdFacts& facts, std::span<const Holder> holders,
                               const Kind& kind, const Ranges& owned, const Ranges& free,
                               std::uint64_t count) {
  const auto who = login(facts);
  const auto ask = concat("ask the administrator to run \"userns-policy grant ", who, " --ids ",
                          std::max(count, kAutoBlock), "\"");
  if (owned.empty())
    return fail({}, concat(who, " has no subordinate ", kind.name, "s in ", kind.source.name, ": ",
                           ask, ", or use --map-self to be the only id inside"));
  const auto held = names_of_holders(holders, kind.held, owned);
  return fail(
      {},
      concat(
          "a container is to have ", count, " ", kind.name, "s of its own, and ", total(free),
          " of ", who, "'s ", total(owned), " (", kind.source.name, ") are free",
          held.empty() ? "" : ": the others are held by ", held,
          "; destroy one, give it fewer with --ids N or another one's with --share-ids NAME, or ",
          ask));
}

// What its root's id asks for: the ids from that one on, as many as are there up to `count`.
Ranges from_root(const Ranges& owned, std::uint32_t root, std::uint64_t count) {
  for (const auto& range : owned)
    if (root >= range.first() && root < range.end()) {
      Ranges one;
      add(one, root, std::min<std::uint64_t>(range.end(), root + count));
      return one;
    }
  return {};
}

Result<std::vector<Extent>> choose_one(const IdFacts& facts, std::span<const Holder> holders,
                                       const Kind& kind, const BlockWish& wish) {
  const auto owned = usable(kind.source, facts.privileged);
  const auto count =
      wish.count.value_or(std::min(kAutoBlock, std::max<std::uint64_t>(1, total(owned))));
  auto free = without(owned, all_held(holders, kind.held));
  if (!kind.root) {
    auto extents = lay_out(free, count);
    if (!extents.empty()) return extents;
    return run_out(facts, holders, kind, owned, free, count);
  }
  const auto place = from_root(owned, *kind.root, count);
  if (place.empty())
    return fail({}, concat("the root file system belongs to ", kind.name, " ", *kind.root,
                           ", which is none of ", login(facts), "'s subordinate ", kind.name,
                           "s in ", kind.source.name));
  for (const auto& holder : holders)
    if (overlap(holder.*(kind.held), place))
      return fail({}, concat("the root file system belongs to ", kind.name, " ", *kind.root,
                             ", and ", holder.path,
                             " has ids from there on: give fewer with --ids N, or the same with "
                             "--share-ids NAME"));
  return lay_out(place, total(place));
}

void take_map(Holder& holder, std::string_view text) {
  const auto map = parse_map(text);
  const auto* const wish = map ? std::get_if<MapWish>(&*map) : nullptr;
  if (wish == nullptr) return;
  if (wish->which != MapWish::Which::kGid) holder.uids.push_back(wish->extent.outside());
  if (wish->which != MapWish::Which::kUid) holder.gids.push_back(wish->extent.outside());
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  return text.substr(0, text.find_last_not_of(kBlank) + 1);
}

bool meets(std::span<const Extent> extents, std::span<const IdRange> held) {
  return std::ranges::any_of(
      extents, [&](const Extent& extent) { return overlap({{extent.outside()}}, held); });
}

}  // namespace

Result<Blocks> choose_blocks(const IdFacts& facts, std::span<const Holder> holders,
                             const BlockWish& wish) {
  auto uids =
      TRY(choose_one(facts, holders, {"uid", facts.uids, &Holder::uids, wish.root_uid}, wish));
  auto gids =
      TRY(choose_one(facts, holders, {"gid", facts.gids, &Holder::gids, wish.root_gid}, wish));
  return Blocks{std::move(uids), std::move(gids)};
}

const Holder* holder_of(std::span<const Extent> uids, std::span<const Extent> gids,
                        std::span<const Holder> holders) {
  const auto found = std::ranges::find_if(holders, [&](const Holder& holder) {
    return meets(uids, holder.uids) || meets(gids, holder.gids);
  });
  return found == holders.end() ? nullptr : &*found;
}

bool share_ids(const Holder& one, const Holder& other) {
  return overlap(one.uids, other.uids) || overlap(one.gids, other.gids);
}

Holder without_own(Holder holder, std::uint32_t uid, std::uint32_t gid) {
  const auto cut = [](Ranges& ranges, std::uint32_t id) {
    Ranges own;
    add(own, id, std::uint64_t{id} + 1);
    ranges = without(ranges, own);
  };
  cut(holder.uids, uid);
  cut(holder.gids, gid);
  return holder;
}

Holder held_by(std::string path, std::string_view config_text) {
  Holder holder{.path = std::move(path)};
  while (!config_text.empty()) {
    auto line = take_until(config_text, '\n');
    if (trimmed(take_until(line, '=')) == "map") take_map(holder, trimmed(line));
  }
  return holder;
}

std::vector<std::string> map_values(const Blocks& blocks) {
  std::vector<std::string> values;
  const auto write = [&](std::string_view kind, const Extent& extent) {
    values.push_back(concat(kind, ":", extent.inside().first(), ":", extent.outside().first(), ":",
                            extent.count()));
  };
  for (const auto& extent : blocks.uids) write("u", extent);
  for (const auto& extent : blocks.gids) write("g", extent);
  return values;
}

}  // namespace userns::frontend
