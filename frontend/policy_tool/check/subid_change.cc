#include "frontend/policy_tool/check/subid_change.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>

#include "frontend/policy_tool/check/checks.h"
#include "frontend/policy_tool/check/free_range.h"
#include "policy/idmap.h"
#include "policy/subid.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::string_view file_word(IdKind kind) {
  return kind == IdKind::kUid ? "/etc/subuid" : "/etc/subgid";
}

OwnedRanges owned_in(const SubidSide& side, std::span<const std::string> forms) {
  OwnedRanges owned;
  for (const auto& entry : subid_entries({}, side.text, side.kind, nullptr))
    if (contains(forms, entry.parsed.owner)) (void)owned.add(entry.parsed.range, entry.line.number);
  return owned;
}

// As strtoul(3) with base 0 reads it, which is how shadow does.
std::optional<std::uint64_t> number_by_shadow(std::string_view word) {
  const std::string text(word);
  char* end = nullptr;
  errno = 0;
  const auto number = std::strtoull(text.c_str(), &end, 0);
  const bool whole = !text.empty() && *end == '\0' && errno == 0;
  return whole ? std::optional<std::uint64_t>(number) : std::nullopt;
}

// Which reservations count: one of Severity::kWarning gives way to who names the place.
enum class Reservations : bool { kFirm, kAll };

// Every id of one kind that is somebody's.
std::vector<IdRange> all_taken(const SubidSide& side, Reservations which) {
  IdFacts facts = *side.facts;
  if (which == Reservations::kFirm)
    std::erase_if(facts.reserved, [](const Reserved& r) { return r.severity != Severity::kError; });
  auto taken = taken_ids(facts, side.text, side.kind);
  std::ranges::move(ranges_by_shadow(side.text), std::back_inserter(taken));
  for (const auto& living : side.living) taken.push_back(living.range);
  return taken;
}

// Where the highest line of a file ends.
std::uint64_t end_of_lines(std::string_view text) {
  std::uint64_t end = 0;
  for (const auto range : ranges_by_shadow(text)) end = std::max(end, range.end());
  return end;
}

// "524288 to 1879048191 are for systemd-nspawn": up to three.
std::string reserved_in(const SubidSide& side, IdRange where) {
  std::string text;
  std::size_t said = 0;
  for (const auto& reserved : side.facts->reserved) {
    if (!reserved.range.overlaps(where) || ++said > 3) continue;
    text += concat("; ", reserved.range.first(), " to ", reserved.range.end() - 1, " are ",
                   reserved.whose);
  }
  return text;
}

struct Bounds {
  std::uint64_t first = 0, end = 0;
};
Bounds bounds_of(std::span<const SubidSide> sides) {
  Bounds bounds{0, kLargestId + 1};
  for (const auto& side : sides) {
    bounds.first = std::max(bounds.first, side.facts->delegable.first());
    bounds.end = std::min(bounds.end, side.facts->delegable.end());
  }
  return bounds;
}

std::unexpected<Error> no_room(std::span<const SubidSide> sides, std::uint64_t count) {
  constexpr std::string_view kNames =
      "SUB_UID_MIN, SUB_UID_MAX and those of gids in /etc/login.defs";
  const auto [first, end] = bounds_of(sides);
  const auto where = first < end ? IdRange::make(first, end - first) : std::nullopt;
  if (!where || count > where->count())
    return fail({}, concat(count, " ids do not fit between ", first, " and ", end - 1,
                           ": grant fewer, or change ", kNames));
  return fail({}, concat("no ", count, " ids in a row are free from ", first, " to ", end - 1,
                         ": accounts, processes and other lines of /etc/subuid and /etc/subgid are "
                         "between",
                         reserved_in(sides[0], *where),
                         "; grant fewer, revoke some of another user's, choose a place with "
                         "--from FIRST, or change ",
                         kNames));
}

// Whose a range is that was asked for by its first id.
std::string owner_of(const SubidSide& side, IdRange range) {
  const auto lines = subid_entries({}, side.text, side.kind, nullptr);
  const auto line = std::ranges::find_if(
      lines, [&](const SubidEntry& e) { return e.parsed.range.overlaps(range); });
  if (line != lines.end())
    return concat(quoted(line->parsed.owner), " has ", to_text(line->parsed.range), " (",
                  file_word(side.kind), ":", line->line.number, ")");
  for (const auto& account : side.facts->taken)
    if (range.contains(IdRange::make(account.id, 1).value_or(range)))
      return concat(account.id, " is ", quoted(account.name), "'s");
  for (const auto& reserved : side.facts->reserved)
    if (reserved.severity == Severity::kError && reserved.range.overlaps(range))
      return concat(to_text(reserved.range), " are ", reserved.whose);
  for (const auto& living : side.living)
    if (living.range.overlaps(range))
      return concat("process ", living.pid, " (", quoted(living.command), ") has ",
                    to_text(living.range));
  return "a line that shadow obeys has some of them";
}

Result<IdRange> range_from(std::span<const SubidSide> missing, const IdWish& wish) {
  const auto range = IdRange::make(*wish.first, wish.count);
  const auto [first, end] = bounds_of(missing);
  if (!range || range->first() < first || range->end() > end)
    return fail({}, concat("--from ", *wish.first, ": ", wish.count,
                           " ids from there are not within ", first, " to ", end - 1,
                           " (SUB_UID_MIN to SUB_UID_MAX and those of gids in /etc/login.defs)"));
  for (const auto& side : missing)
    for (const auto taken : all_taken(side, Reservations::kFirm))
      if (taken.overlaps(*range))
        return fail({}, concat("--from ", *wish.first, ": the ids ", to_text(*range),
                               " are not free: ", owner_of(side, *range)));
  return *range;
}

// The user's own block, or the first ids of it.
Result<IdRange> deterministic_range(const SubidSide& side, const IdWish& wish) {
  const auto& rule = *side.facts->deterministic;
  const auto block = rule.block_of(wish.uid);
  if (!block)
    return fail({}, concat(rule.key, " of /etc/login.defs has no ids for uid ", wish.uid,
                           ": they would be outside of ", to_text(side.facts->delegable),
                           rule.defs.wraps ? ", and the ids that wrapping round gives are another "
                                             "user's"
                                           : "",
                           "; widen that range, or write ", rule.key, " no"));
  const auto range = IdRange::make(block->first(), std::min(wish.count, block->count()));
  if (wish.count > block->count() || (wish.first && *wish.first != block->first()))
    return fail({}, concat(rule.key, " of /etc/login.defs gives uid ", wish.uid, " the ids ",
                           to_text(*block), " and no others, as useradd does"));
  for (const auto taken : all_taken(side, Reservations::kFirm))
    if (taken.overlaps(*range))
      return fail({}, concat("the ids ", to_text(*range), ", which ", rule.key, " gives uid ",
                             wish.uid, ", are not free: ", owner_of(side, *range)));
  return *range;
}

// `start`: where the other file has them already.
Result<IdRange> free_range(std::span<const SubidSide> missing, const IdWish& wish,
                           std::optional<std::uint64_t> start) {
  if (wish.first) return range_from(missing, wish);
  std::vector<IdRange> taken;
  std::uint64_t fresh = 0;
  for (const auto& side : missing) {
    std::ranges::move(all_taken(side, Reservations::kAll), std::back_inserter(taken));
    fresh = std::max(fresh, end_of_lines(side.text));
  }
  const auto same = start ? IdRange::make(*start, wish.count) : std::nullopt;
  if (same && std::ranges::none_of(taken, [&](IdRange t) { return t.overlaps(*same); }))
    return *same;
  const auto [first, end] = bounds_of(missing);
  for (const auto begin : {std::max(first, fresh), first}) {
    const auto where = begin < end ? IdRange::make(begin, end - begin) : std::nullopt;
    if (const auto found = where ? find_free(wish.count, *where, taken) : std::nullopt)
      return *found;
  }
  return no_room(missing, wish.count);
}

}  // namespace

Result<std::vector<NewRange>> plan_ids(std::span<const SubidSide> sides, const IdWish& wish) {
  std::vector<SubidSide> missing;
  std::optional<std::uint64_t> start;
  for (const auto& side : sides) {
    const auto owned = owned_in(side, wish.forms);
    const auto enough =
        std::ranges::find_if(owned.ranges(), [&](IdRange r) { return r.count() >= wish.count; });
    if (enough == owned.ranges().end())
      missing.push_back(side);
    else if (!start)
      start = enough->first();
  }
  std::vector<NewRange> ranges;
  for (const auto& side : missing) {
    if (!side.facts->deterministic) continue;
    const auto range = TRY(deterministic_range(side, wish));
    ranges.push_back({side.kind, range});
    if (!start) start = range.first();
  }
  std::erase_if(missing,
                [](const SubidSide& side) { return side.facts->deterministic.has_value(); });
  if (missing.empty()) return ranges;
  const auto range = TRY(free_range(missing, wish, start));
  for (const auto& side : missing) ranges.push_back({side.kind, range});
  return ranges;
}

std::string with_range(std::string_view text, std::string_view owner, IdRange range) {
  return concat(text, text.empty() || text.ends_with('\n') ? "" : "\n", owner, ":", range.first(),
                ":", range.count(), "\n");
}

WithoutRanges without_ranges(const SubidSide& side, std::span<const std::string> forms,
                             std::optional<std::uint64_t> count) {
  WithoutRanges out;
  auto entries = subid_entries({}, side.text, side.kind, nullptr);
  std::erase_if(entries, [&](const SubidEntry& e) {
    return !contains(forms, e.parsed.owner) || (count && e.parsed.range.count() != *count);
  });
  if (entries.empty()) return {std::string(side.text), {}};
  for (const auto& entry : entries) out.taken_away.push_back(entry.parsed.range);
  for (const auto& line : lines_of(side.text))
    if (!contains(entries, line.number, [](const SubidEntry& e) { return e.line.number; }))
      out.text += concat(line.text, "\n");
  return out;
}

std::vector<IdRange> ranges_by_shadow(std::string_view subid_text) {
  std::vector<IdRange> ranges;
  for (const auto& line : lines_of(subid_text)) {
    auto rest = line.text;
    const auto owner = take_until(rest, ':'), start = take_until(rest, ':');
    const auto first = number_by_shadow(start), count = number_by_shadow(take_until(rest, ':'));
    const auto range =
        first && count && !owner.empty() ? IdRange::make(*first, *count) : std::optional<IdRange>{};
    if (range) ranges.push_back(*range);
  }
  return ranges;
}

}  // namespace userns::frontend
