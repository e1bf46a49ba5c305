#include "policy/idmap_rules.h"

#include <algorithm>
#include <array>
#include <utility>

#include "policy/text.h"

namespace userns {
namespace {

bool is_own_id(const MapFacts& facts, IdRange outside) {
  const std::uint64_t own = facts.kind == IdKind::kUid ? facts.caller_uid.value() : facts.caller_gid.value();
  return outside.count() == 1 && outside.first() == own;
}

bool may_have(const MapFacts& facts, IdRange outside) {
  return facts.owned->covers(outside) || is_own_id(facts, outside);
}

bool touches_root(IdRange outside) { return outside.first() == 0; }

const Extent* first_not_allowed(const MapFacts& facts, const IdMap& request) {
  for (const auto& extent : request.extents())
    if (!may_have(facts, extent.outside())) return &extent;
  return nullptr;
}

std::string who(const MapFacts& facts) {
  return facts.caller_name.empty() ? cat("uid ", facts.caller_uid.value()) : std::string(facts.caller_name);
}

// "alice has [100000-165536) (/etc/subuid:3), ..."
std::string what_caller_has(const MapFacts& facts) {
  std::string text = cat(who(facts), " has ");
  for (const auto& shown : facts.owned->shown()) {
    if (&shown != facts.owned->shown().data()) text += ", ";
    text += cat(to_text(shown.range), " (", facts.owned_source);
    if (shown.line > 0) text += cat(":", shown.line);
    text += ")";
  }
  if (facts.owned->lines() == 0) text += cat("no range in ", facts.owned_source);
  if (facts.owned->lines() > facts.owned->shown().size())
    text += cat(" and ", facts.owned->lines() - facts.owned->shown().size(), " more");
  if (facts.skipped != nullptr && facts.skipped->line > 0)
    text += cat("; line ", facts.skipped->line, " grants nothing: it ", facts.skipped->why);
  return text;
}

std::string_view kind_name(IdKind kind) { return kind == IdKind::kUid ? "uid" : "gid"; }

std::string explain_owner(const MapFacts& facts, const IdMap& /*request*/) {
  return cat("the target process belongs to uid ", facts.target_uid.value(), ", gid ", facts.target_gid.value(),
             ", not to the caller (uid ", facts.caller_uid.value(), ", gid ", facts.caller_gid.value(),
             "): only one's own process can be mapped");
}
std::string explain_child(const MapFacts& /*facts*/, const IdMap& /*request*/) {
  return "the target's user namespace is not a child of the caller's own: unshare(CLONE_NEWUSER) "
         "in "
         "the target first, and run this from the namespace that it was made in";
}
std::string explain_mapped(const MapFacts& facts, const IdMap& /*request*/) {
  return cat("the target's ", kind_name(facts.kind),
             "_map is already written; the kernel takes one map per user namespace");
}
std::string explain_root(const MapFacts& facts, const IdMap& request) {
  const auto extent =
      std::ranges::find_if(request.extents(), [](const Extent& e) { return touches_root(e.outside()); });
  return cat(kind_name(facts.kind), " range ", to_text(*extent),
             " not allowed: outside id 0 is the host's root and is given to nobody but root");
}
std::string explain_range(const MapFacts& facts, const IdMap& request) {
  return cat(kind_name(facts.kind), " range ", to_text(*first_not_allowed(facts, request)),
             " not allowed: ", what_caller_has(facts));
}

// The policy. First broken rule speaks; the order is from who to what.
struct Rule {
  std::string_view id;
  bool (*holds)(const MapFacts&, const IdMap&);
  std::string (*explain)(const MapFacts&, const IdMap&);
};
constexpr std::array kRules{
    Rule{"IM-OWNER",
         [](const MapFacts& f, const IdMap&) { return f.target_uid == f.caller_uid && f.target_gid == f.caller_gid; },
         explain_owner},
    Rule{"IM-CHILD", [](const MapFacts& f, const IdMap&) { return f.target_in_child_namespace; }, explain_child},
    Rule{"IM-MAPPED", [](const MapFacts& f, const IdMap&) { return !f.target_already_mapped; }, explain_mapped},
    Rule{"IM-ROOT",
         [](const MapFacts& f, const IdMap& request) { return f.caller_uid == Uid{0} || !request.maps_outside_root(); },
         explain_root},
    Rule{"IM-RANGE", [](const MapFacts& f, const IdMap& request) { return first_not_allowed(f, request) == nullptr; },
         explain_range},
};

}  // namespace

Result<MapGrant> decide(const MapFacts& facts, const IdMap& request) {
  for (const auto& rule : kRules)
    if (!rule.holds(facts, request)) return fail(rule.id, rule.explain(facts, request));
  const bool delegated = std::ranges::any_of(
      request.extents(), [&](const Extent& extent) { return facts.owned->covers(extent.outside()); });
  return MapGrant(request, facts.kind == IdKind::kGid && !delegated);
}

}  // namespace userns
