#include "policy/idmap_rules.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "policy/rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

bool is_own(const MapFacts& facts, const Extent& extent) {
  return is_own_id(facts.kind, facts.caller_uid, facts.caller_gid, extent);
}

bool may_have(const MapFacts& facts, const Extent& extent) {
  return is_own(facts, extent) || facts.owned->covers(extent.outside());
}

// "alice has [100000-165536) (/etc/subuid:3), ..."
std::string what_caller_has(const MapFacts& facts) {
  const auto& owned = *facts.owned;
  std::string text = facts.caller_name.empty() ? concat("uid ", facts.caller_uid.value())
                                               : std::string(facts.caller_name);
  text += owned.lines() == 0 ? concat(" has no range in ", facts.owned_source) : " has ";
  for (const auto& shown : owned.shown())
    text += concat(&shown == owned.shown().data() ? "" : ", ", to_text(shown.range), " (",
                   facts.owned_source, shown.line > 0 ? concat(":", shown.line) : "", ")");
  if (owned.lines() > owned.shown().size())
    text += concat(" and ", owned.lines() - owned.shown().size(), " more");
  if (facts.skipped != nullptr && facts.skipped->line > 0)
    text += concat("; line ", facts.skipped->line, " grants nothing: it ", facts.skipped->why);
  return text;
}

std::string_view kind_name(IdKind kind) { return kind == IdKind::kUid ? "uid" : "gid"; }

Objection not_ones_own(const MapFacts& facts, const IdMap& /*request*/) {
  if (facts.target_uid == facts.caller_uid && facts.target_gid == facts.caller_gid) return {};
  return concat("the target process belongs to uid ", facts.target_uid.value(), ", gid ",
                facts.target_gid.value(), ", not to the caller (uid ", facts.caller_uid.value(),
                ", gid ", facts.caller_gid.value(), "): only one's own process can be mapped");
}
Objection maps_root(const MapFacts& facts, const IdMap& request) {
  const auto* const root = request.outside_root();
  if (facts.caller_uid == Uid{0} || root == nullptr) return {};
  return concat(kind_name(facts.kind), " range ", to_text(*root),
                " not allowed: outside id 0 is the host's root and is given to nobody but root");
}
Objection not_delegated(const MapFacts& facts, const IdMap& request) {
  for (const auto& extent : request.extents())
    if (!may_have(facts, extent))
      return concat(kind_name(facts.kind), " range ", to_text(extent),
                    " not allowed: ", what_caller_has(facts));
  return {};
}

// As shadow: a group that is only the process's may be one that takes rights away.
Objection by_another_group(const MapFacts& facts, const IdMap& request) {
  const auto own = [&](const Extent& extent) { return is_own(facts, extent); };
  if (facts.group_may_delegate || std::ranges::all_of(request.extents(), own)) return {};
  return concat("gid ", facts.caller_gid.value(),
                " is not the primary group of the caller's login: delegated ids are mapped from "
                "that alone, unless GRANT_AUX_GROUP_SUBIDS is yes in /etc/login.defs");
}

constexpr Rule<MapFacts, IdMap> kRules[] = {{"IM-OWNER", not_ones_own},
                                            {"IM-ROOT", maps_root},
                                            {"IM-RANGE", not_delegated},
                                            {"IM-GROUP", by_another_group}};

}  // namespace

bool is_own_id(IdKind kind, Uid uid, Gid gid, const Extent& extent) {
  return extent.count() == 1 &&
         extent.outside().first() == (kind == IdKind::kUid ? uid.value() : gid.value());
}

Result<MapGrant> decide(const MapFacts& facts, const IdMap& request) {
  TRY(judge(kRules, facts, request));
  const bool delegated = std::ranges::any_of(request.extents(), [&](const Extent& extent) {
    return facts.owned->covers(extent.outside());
  });
  return MapGrant(request, facts.kind == IdKind::kGid && !(delegated && facts.group_may_delegate));
}

}  // namespace userns
