#include "frontend/shift/id_shift.h"

#include <algorithm>
#include <array>

#include "policy/idmap.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::shift {
namespace {

const Extent* find(const std::vector<Extent>& pieces, std::uint32_t id,
                   IdRange (Extent::*side)() const) {
  const auto found = std::ranges::find_if(pieces, [&](const Extent& piece) {
    const auto range = (piece.*side)();
    return range.first() <= id && id < range.end();
  });
  return found == pieces.end() ? nullptr : &*found;
}

std::unexpected<Error> both_ways(IdRange from, IdRange to, std::string_view kind) {
  return fail({},
              concat("the ", kind, "s ", to_text(from), " and ", to_text(to),
                     " overlap: nobody could tell then which files are shifted already; shift to "
                     "a range that is free "
                     "of both first, and from there in a second step"));
}

std::unexpected<Error> twice(IdRange one, IdRange other, std::string_view what,
                             std::string_view kind) {
  return fail({}, concat("the ", kind, "s ", to_text(one), " and ", to_text(other), " are both ",
                         what, " and overlap"));
}

// [from, from + count) becomes [to, to + count), which lies in a valid piece.
void push(std::vector<Extent>& pieces, std::uint64_t from, std::uint64_t to, std::uint64_t count) {
  if (const auto piece = Extent::make(from, to, count)) pieces.push_back(*piece);
}

// Ranges without `own`, sorted, touching ones united.
std::vector<IdRange> united(std::vector<IdRange> ranges) {
  std::ranges::sort(ranges, {}, &IdRange::first);
  std::vector<IdRange> all;
  for (const auto& range : ranges) {
    if (!all.empty() && all.back().end() >= range.first()) {
      const auto end = std::max(all.back().end(), range.end());
      if (const auto wider = IdRange::make(all.back().first(), end - all.back().first()))
        all.back() = *wider;
    } else {
      all.push_back(range);
    }
  }
  return all;
}

}  // namespace

Result<IdShift> IdShift::make(std::vector<Extent> pieces, std::string_view kind) {
  for (std::size_t i = 0; i < pieces.size(); ++i)
    for (std::size_t k = 0; k < pieces.size(); ++k) {
      const auto& one = pieces[i];
      const auto& other = pieces[k];
      if (one.inside().overlaps(other.outside()))
        return both_ways(one.inside(), other.outside(), kind);
      if (k <= i) continue;
      if (one.inside().overlaps(other.inside()))
        return twice(one.inside(), other.inside(), "taken", kind);
      if (one.outside().overlaps(other.outside()))
        return twice(one.outside(), other.outside(), "given", kind);
    }
  IdShift shift;
  shift.pieces_ = std::move(pieces);
  return shift;
}

std::uint32_t IdShift::of(std::uint32_t id) const {
  const auto* const piece = find(pieces_, id, &Extent::inside);
  return piece == nullptr ? id
                          : static_cast<std::uint32_t>(piece->outside().first() +
                                                       (id - piece->inside().first()));
}

bool IdShift::takes(std::uint32_t id) const {
  return find(pieces_, id, &Extent::inside) != nullptr;
}
bool IdShift::gives(std::uint32_t id) const {
  return find(pieces_, id, &Extent::outside) != nullptr;
}

IdShift IdShift::reversed() const {
  IdShift shift;
  for (const auto& piece : pieces_)
    push(shift.pieces_, piece.outside().first(), piece.inside().first(), piece.count());
  return shift;
}

Result<RangeWish> parse_range(std::string_view text) {
  auto rest = text;
  const bool only_uids = rest.starts_with("u:");
  const bool only_gids = rest.starts_with("g:");
  if (only_uids || only_gids) rest.remove_prefix(2);
  const bool has_count = rest.contains(':');
  const auto first_text = take_until(rest, ':');
  if (!has_count)
    return fail({}, concat("the range ", quoted(text),
                           " is not FIRST:COUNT, such as 100000:65536 (u: or g: before it for uids "
                           "or gids alone)"));
  const auto first = parse_decimal(first_text);
  if (!first)
    return fail({}, concat("the first id of ", quoted(text), " ", why_not_decimal(first_text)));
  const auto count = parse_decimal(rest);
  if (!count) return fail({}, concat("the count of ", quoted(text), " ", why_not_decimal(rest)));
  const auto range = IdRange::make(*first, *count);
  if (!range && *count == 0)
    return fail({}, concat("the range ", quoted(text), " holds no id: give a count of 1 or more"));
  if (!range)
    return fail({}, concat("the range ", quoted(text), " leaves the id space: the largest id is ",
                           kLargestId));
  return RangeWish{.uids = !only_gids, .gids = !only_uids, .range = *range};
}

Result<Shift> make_shift(const std::vector<std::string_view>& from,
                         const std::vector<std::string_view>& to) {
  if (from.size() != to.size())
    return fail({}, concat("there are ", from.size(), " --from and ", to.size(),
                           " --to: each --from needs the --to that it "
                           "becomes"));
  std::vector<Extent> uids;
  std::vector<Extent> gids;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const auto one = TRY(parse_range(from[i]));
    const auto other = TRY(parse_range(to[i]));
    if (one.uids != other.uids || one.gids != other.gids)
      return fail({}, concat("--from ", quoted(from[i]), " and --to ", quoted(to[i]),
                             " are not of the same kind: u: with u:, "
                             "g: with g:"));
    const auto piece = Extent::make(one.range.first(), other.range.first(), one.range.count());
    if (one.range.count() != other.range.count() || !piece)
      return fail({}, concat("--from ", quoted(from[i]), " and --to ", quoted(to[i]),
                             " are not as many ids"));
    if (one.uids) uids.push_back(*piece);
    if (one.gids) gids.push_back(*piece);
  }
  return shift_of_maps(uids, gids);
}

Result<Shift> shift_of_maps(const std::vector<Extent>& uids, const std::vector<Extent>& gids) {
  auto of_uids = TRY(IdShift::make(uids, "uid"));
  auto of_gids = TRY(IdShift::make(gids, "gid"));
  return Shift{.uids = std::move(of_uids), .gids = std::move(of_gids)};
}

Result<std::vector<Extent>> map_for(const IdShift& shift, std::uint32_t own,
                                    std::string_view kind) {
  std::vector<IdRange> ranges;
  for (const auto& piece : shift.pieces())
    for (const auto& range : {piece.inside(), piece.outside()}) {
      if (range.first() == 0)
        return fail({}, concat("only root can shift from or to the host's ", kind,
                               " 0, which is in ", to_text(range)));
      ranges.push_back(range);
    }
  std::vector<Extent> extents;
  push(extents, 0, own, 1);
  for (const auto& range : united(std::move(ranges))) {
    const bool split = range.first() <= own && own < range.end();
    const std::uint64_t end = split ? own : range.end();
    push(extents, range.first(), range.first(), end - range.first());
    if (split) push(extents, own + std::uint64_t{1}, own + std::uint64_t{1}, range.end() - own - 1);
  }
  return extents;
}

IdShift as_seen(const IdShift& shift, std::uint32_t own) {
  std::vector<Extent> pieces;
  const auto seen = [&](std::uint64_t id) { return id == own ? 0 : id; };
  for (const auto& piece : shift.pieces()) {
    // Cut before and after each place at which `own` stands on one of the sides.
    std::vector<std::uint64_t> cuts{0, piece.count()};
    for (const auto& range : {piece.inside(), piece.outside()})
      if (range.first() <= own && own < range.end())
        cuts.insert(cuts.end(), {own - range.first(), own - range.first() + 1});
    std::ranges::sort(cuts);
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i)
      push(pieces, seen(piece.inside().first() + cuts[i]), seen(piece.outside().first() + cuts[i]),
           cuts[i + 1] - cuts[i]);
  }
  auto made = IdShift::make(std::move(pieces), "id");
  return made ? std::move(*made) : IdShift{};  // cannot fail: a renumbering that keeps ids apart
}

}  // namespace userns::shift
