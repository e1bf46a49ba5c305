#include "frontend/policy_tool/verbs/explain.h"

#include <algorithm>

#include "common/subid_source.h"
#include "frontend/policy_tool/check/login_defs.h"
#include "frontend/policy_tool/host_facts.h"
#include "policy/idmap_rules.h"
#include "policy/subid.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kGivesNothing = "gives nothing";

// INSIDE:OUTSIDE:COUNT for uids and gids, or with u: or g: before it for one of them.
Result<std::vector<std::string>> numbers_of(std::span<const std::string> requests, char kind) {
  std::vector<std::string> numbers;
  for (const std::string_view request : requests) {
    auto rest = request;
    const bool has_kind =
        rest.size() > 2 && rest[1] == ':' && (rest[0] == 'u' || rest[0] == 'g' || rest[0] == 'b');
    if (std::ranges::count(rest, ':') != (has_kind ? 3 : 2))
      return fail(
          {},
          concat(quoted(request),
                 " is not INSIDE:OUTSIDE:COUNT, with u: or g: before it for uids or gids alone"));
    if (has_kind && rest[0] != kind && rest[0] != 'b') continue;
    if (has_kind) rest.remove_prefix(2);
    for (int i = 0; i < 3; ++i) numbers.emplace_back(take_until(rest, ':'));
  }
  return numbers;
}

// The lines of the file that give the user something of `wanted`, or anything.
void show_sources(Answer& answer, const SubidRanges& subids, const User& user, IdKind kind,
                  const IdMap* wanted) {
  if (!subids.source.starts_with('/')) return;
  const auto text = text_of(subids.source);
  for (const auto& entry : subid_entries(subids.source, text, kind, nullptr)) {
    if (entry.parsed.owner != user.name && entry.parsed.owner != concat(user.uid.value())) continue;
    if (wanted == nullptr || std::ranges::any_of(wanted->extents(), [&](const Extent& e) {
          return e.outside().overlaps(entry.parsed.range);
        }))
      answer.line(entry.line, concat(to_text(entry.parsed.range),
                                     entry.parsed.range.first() == 0 && user.uid.value() != 0
                                         ? ", but id 0, which is given to nobody but root (IM-ROOT)"
                                         : ""));
  }
}

// The user's lines that give nothing.
std::vector<Finding> malformed_of(const User& user, IdKind kind, const std::string& path) {
  std::vector<Finding> findings;
  if (path.starts_with('/')) (void)subid_entries(path, text_of(path), kind, &findings);
  std::erase_if(findings, [&](const Finding& f) {
    return !f.source.starts_with(concat(user.uid.value(), ":")) &&
           (user.name.empty() || !f.source.starts_with(concat(user.name, ":")));
  });
  return findings;
}

// The ids that login.defs has for the user and they have not.
std::string deterministic_text(const User& user, IdKind kind, const OwnedRanges& owned) {
  std::vector<Finding> ignored;
  const auto text = text_of("/etc/login.defs");
  const auto of_uids = read_login_defs({}, text, "U", ignored);
  const auto defs = kind == IdKind::kUid ? of_uids : read_login_defs({}, text, "G", ignored);
  const auto block = defs.deterministic ? deterministic_block(defs, of_uids.least, user.uid.value())
                                        : std::nullopt;
  if (!block || owned.covers(*block)) return {};
  return concat("  userns-policy grant and useradd would give ", to_text(*block), ", by SUB_",
                kind == IdKind::kUid ? "UID" : "GID", "_DETERMINISTIC of /etc/login.defs\n");
}

void explain_kind(Answer& answer, const User& user, IdKind kind,
                  std::span<const std::string> numbers, bool asked) {
  const bool is_uid = kind == IdKind::kUid;
  const std::string_view program = is_uid ? "newuidmap" : "newgidmap";
  const auto own = is_uid ? user.uid.value() : user.gid.value();
  // In the helper's order: words first.
  const std::vector<std::string_view> words(numbers.begin(), numbers.end());
  const auto map = IdMap::parse(words);
  if (asked && !numbers.empty() && !map) return answer.refuse(program, map.error());
  const auto subids = find_subids(kind, user.name, user.uid);
  if (!subids) return answer.refuse(program, subids.error());
  if (!asked) {
    std::string ranges;
    const auto given = ranges_given(subids->owned, user.uid);
    for (const auto range : given) ranges += concat(ranges.empty() ? "" : ", ", to_text(range));
    auto& item =
        answer.say(program, concat(ranges.empty() ? concat("nothing in ", subids->source) : ranges,
                                   "; and one's own ", is_uid ? "uid " : "gid ", own, " alone"));
    item.ranges = given;
    answer.text += deterministic_text(user, kind, subids->owned);
    answer.malformed(kGivesNothing, malformed_of(user, kind, subids->source), 0);
    return show_sources(answer, *subids, user, kind, nullptr);
  }
  if (numbers.empty()) return;
  const MapFacts facts{.kind = kind,
                       .caller_uid = user.uid,
                       .caller_gid = user.gid,
                       .caller_name = user.name,
                       .target_uid = user.uid,
                       .target_gid = user.gid,
                       .owned = &subids->owned,
                       .owned_source = subids->source,
                       .skipped = &subids->skipped};
  const auto grant = decide(facts, *map);
  if (!grant) {
    answer.refuse(program, grant.error());
    return answer.malformed(kGivesNothing, malformed_of(user, kind, subids->source),
                            subids->skipped.line);
  }
  std::string extents;
  for (const auto& extent : map->extents()) extents += concat(" ", to_text(extent));
  auto& item = answer.say(
      program, concat("allowed", extents, " by ", subids->source,
                      grant->deny_setgroups()
                          ? "; setgroups(2) will be denied, as no delegated gid is mapped"
                          : ""));
  for (const auto& extent : map->extents()) item.ranges.push_back(extent.outside());
  show_sources(answer, *subids, user, kind, &*map);
  for (const auto& extent : map->extents())
    if (!subids->owned.covers(extent.outside()))
      answer.text += concat("  the user's own ", is_uid ? "uid " : "gid ", own, " needs no line\n");
}

}  // namespace

std::vector<IdRange> ranges_given(const OwnedRanges& owned, Uid uid) {
  std::vector<IdRange> given(owned.ranges().begin(), owned.ranges().end());
  if (uid.value() == 0 || given.empty() || given.front().first() != 0) return given;
  const auto rest = IdRange::make(1, given.front().count() - 1);
  if (rest) given.front() = *rest;
  if (!rest) given.erase(given.begin());
  return given;
}

Result<Answer> explain_map(const User& user, std::span<const std::string> requests) {
  Answer answer;
  for (const auto kind : {IdKind::kUid, IdKind::kGid}) {
    const auto numbers = TRY(numbers_of(requests, kind == IdKind::kUid ? 'u' : 'g'));
    explain_kind(answer, user, kind, numbers, !requests.empty());
  }
  return answer;
}

}  // namespace userns::frontend
