#include "policy/idmap_rules.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "policy/rules.h"
#include "policy/text.h"

namespace userns {
namespace {

bool may_have(const MapFacts& facts, IdRange outside) {
  const std::uint64_t own =
      facts.kind == IdKind::kUid ? facts.caller_uid.value() : facts.caller_gid.value();
  return facts.owned->covers(outside) || (outside.count() == 1 && outside.first() == own);
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
Objection not_a_child(const MapFacts& facts, const IdMap& /*request*/) {
  if (facts.target_in_child_namespace) return {};
  return "the target's user namespace is not a child of the caller's own: unshare(CLONE_NEWUSER) "
         "in the target first, "
         "and run this from the namespace that it was made in";
}
Objection mapped_before(const MapFacts& facts, const IdMap& /*request*/) {
  if (!facts.target_already_mapped) return {};
  return concat("the target's ", kind_name(facts.kind),
                "_map is already written; the kernel takes one map per user namespace");
}
Objection maps_root(const MapFacts& facts, const IdMap& request) {
  const auto* const root = request.outside_root();
  if (facts.caller_uid == Uid{0} || root == nullptr) return {};
  return concat(kind_name(facts.kind), " range ", to_text(*root),
                " not allowed: outside id 0 is the host's root and is given to nobody but root");
}
Objection not_delegated(const MapFacts& facts, const IdMap& request) {
  for (const auto& extent : request.extents())
    if (!may_have(facts, extent.outside()))
      return concat(kind_name(facts.kind), " range ", to_text(extent),
                    " not allowed: ", what_caller_has(facts));
  return {};
}

constexpr Rule<MapFacts, IdMap> kRules[] = {{"IM-OWNER", not_ones_own},
                                            {"IM-CHILD", not_a_child},
                                            {"IM-MAPPED", mapped_before},
                                            {"IM-ROOT", maps_root},
                                            {"IM-RANGE", not_delegated}};

}  // namespace

Result<MapGrant> decide(const MapFacts& facts, const IdMap& request) {
  const auto judged = judge(kRules, facts, request);
  if (!judged) return std::unexpected(judged.error());
  const bool delegated = std::ranges::any_of(request.extents(), [&](const Extent& extent) {
    return facts.owned->covers(extent.outside());
  });
  return MapGrant(request, facts.kind == IdKind::kGid && !delegated);
}

}  // namespace userns
