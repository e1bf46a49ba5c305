#include "policy/tree_rules.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "policy/idmap.h"
#include "policy/rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

constexpr std::string_view kUsage =
    "usage: userns-idmap --source fd:N --userns PID|fd:N --to fd:N [--read-only]";

Result<int> parse_fd(std::string_view text) {
  const auto target = parse_target(text);
  if (target && target->kind == Target::Kind::kFd) return target->number;
  return fail("ID-ARGS", concat(quoted(text), " is not the number of an open fd, such as fd:3"));
}

bool is_callers(const TreeIds& ids, IdRange range) {
  return ids.owned->covers(range) || (range.count() == 1 && range.first() == ids.own);
}

std::string_view kind_name(const TreeIds& ids) { return ids.kind == IdKind::kUid ? "uid" : "gid"; }

std::string not_the_callers(const TreeIds& ids, IdRange range, std::string_view where) {
  return concat(kind_name(ids), " range ", to_text(range), " ", where,
                " not allowed: it is neither the caller's own ", kind_name(ids), " (", ids.own,
                ") nor within what ", ids.source,
                " delegates to the caller; see \"userns-policy explain\"");
}

Objection not_ones_own(const TreeFacts& facts) {
  if (facts.userns_owner == facts.caller) return {};
  return concat("the user namespace belongs to uid ", facts.userns_owner.value(),
                ", not to the caller (uid ", facts.caller.value(), "): give one of your own");
}
Objection not_a_child(const TreeFacts& facts) {
  if (facts.userns_is_child) return {};
  return "the user namespace is not a child of the caller's own: make it with "
         "unshare(CLONE_NEWUSER), and run this in the namespace that it was made in";
}
// No user has id 0, whatever a file says, and root needs no help.
Objection maps_root(const TreeFacts& facts) {
  constexpr auto kRoot = *IdRange::make(0, 1);
  for (const auto& ids : facts.ids)
    for (const auto& extent : ids.map)
      if (extent.inside().overlaps(kRoot) || extent.outside().overlaps(kRoot))
        return concat(kind_name(ids), " range ", to_text(extent),
                      " not allowed: id 0 is the host's root, on disk and in a mount");
  return {};
}
Objection not_ones_on_disk(const TreeFacts& facts) {
  for (const auto& ids : facts.ids)
    for (const auto& extent : ids.map)
      if (!is_callers(ids, extent.inside()))
        return not_the_callers(ids, extent.inside(), "on disk");
  return {};
}
Objection not_ones_in_mount(const TreeFacts& facts) {
  for (const auto& ids : facts.ids)
    for (const auto& extent : ids.map)
      if (!is_callers(ids, extent.outside()))
        return not_the_callers(ids, extent.outside(), "of the mount");
  return {};
}
// An fd alone may lead into a directory that its holder could not have entered.
Objection not_ones_tree(const TreeFacts& facts) {
  const auto owner = IdRange::make(facts.tree_owner.value(), 1);
  const auto has_owner = [&](const Extent& extent) { return extent.inside().contains(*owner); };
  if (owner && std::ranges::any_of(facts.ids[0].map, has_owner)) return {};
  return concat("the directory belongs to uid ", facts.tree_owner.value(),
                ", which is not one of the uids on disk that the user namespace maps");
}

constexpr Rule<TreeFacts> kRules[] = {
    {"ID-OWNER", not_ones_own},    {"ID-CHILD", not_a_child},       {"ID-ROOT", maps_root},
    {"ID-DISK", not_ones_on_disk}, {"ID-MOUNT", not_ones_in_mount}, {"ID-TREE", not_ones_tree}};

}  // namespace

Result<TreeRequest> parse_tree_request(std::span<const std::string_view> words) {
  TreeRequest request;
  if (words.size() == 7 && words[6] == "--read-only") {
    request.read_only = true;
    words = words.first(6);
  }
  if (words.size() != 6 || words[0] != "--source" || words[2] != "--userns" || words[4] != "--to")
    return fail("ID-ARGS", std::string(kUsage));
  request.source = TRY(parse_fd(words[1]));
  request.userns = TRY(parse_target(words[3]));
  request.to = TRY(parse_fd(words[5]));
  return request;
}

Result<std::vector<Extent>> parse_kernel_map(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty())
    for (auto line = take_until(text, '\n'); !line.empty();)
      if (const auto word = take_until(line, ' '); !word.empty()) words.push_back(word);
  if (words.empty())
    return fail("ID-MAPS",
                "uid_map and gid_map of the user namespace are not both written: write them "
                "first, with newuidmap and newgidmap");
  const auto map = IdMap::parse(words);
  if (map) return std::vector(map->extents().begin(), map->extents().end());
  return fail("ID-MAPS", "the kernel's text of a map of the user namespace cannot be read");
}

Result<TreeGrant> decide(const TreeFacts& facts, const TreeRequest& request) {
  TRY(judge(kRules, facts));
  return TreeGrant(request.read_only);
}

}  // namespace userns
