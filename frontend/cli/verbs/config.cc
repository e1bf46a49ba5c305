#include "frontend/cli/verbs/config.h"
#include "frontend/start/cgroup_entry.h"
#include "policy/idmap.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/settings.h"
#include "frontend/container/facts.h"
#include "frontend/run/cgroup/cgroup.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/ids/tree_ids.h"
#include "frontend/store/base_trees.h"
#include "frontend/store/id_blocks.h"
#include "frontend/store/registry.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

struct Edit {
  std::string key;
  std::string value;
  bool adds = false;  // KEY+=VALUE
};

Result<Edit> parse_edit(std::string_view word) {
  const auto at = word.find('=');
  if (at == std::string_view::npos || at == 0)
    return fail(
        {}, concat(quoted(word), " is not a setting: write KEY=VALUE, or KEY+=VALUE for one more"));
  const bool adds = word[at - 1] == '+';
  const std::string key(word.substr(0, at - (adds ? 1 : 0)));
  auto value = TRY(value_to_store(key, word.substr(at + 1)));
  return Edit{key, std::move(value), adds};
}

Result<std::vector<Edit>> edits_of(const Words& words) {
  std::vector<Edit> edits;
  for (const auto& word : std::span(words.names).subspan(1)) {
    auto edit = TRY(parse_edit(word));
    edits.push_back(std::move(edit));
  }
  return edits;
}

// All values that are given for a key are its new ones.
Result<void> apply(ConfigFile& config, const std::vector<Edit>& edits, const Words& words) {
  for (const auto key : words.all("unset"))
    if (!config.unset(key)) {
      if (auto known = check_key(key); !known) return known;
    }
  std::map<std::string, std::vector<std::string>> replaced;
  for (const auto& edit : edits)
    if (!edit.adds) replaced[edit.key].push_back(edit.value);
  std::set<std::string> done;
  for (const auto& edit : edits) {
    const bool first = !edit.adds && done.insert(edit.key).second;
    auto changed = edit.adds ? config.add(edit.key, edit.value)
                   : first   ? config.set(edit.key, replaced[edit.key])
                             : Result<void>{};
    if (!changed) return changed;
  }
  return {};
}

bool is_about_cgroups(std::string_view key) {
  constexpr std::array<std::string_view, 7> kKeys{"cgroup", "memory",     "memory-swap", "pids",
                                                  "cpus",   "cpu-weight", "io-weight"};
  return std::ranges::find(kKeys, key) != kKeys.end();
}

bool is_about_ids(std::string_view key) { return key == "map" || key == "map-self"; }

bool changes_ids(const std::vector<Edit>& edits, const Words& words) {
  const auto unset = words.all("unset");
  return std::ranges::any_of(edits, [](const Edit& edit) { return is_about_ids(edit.key); }) ||
         std::ranges::any_of(unset, is_about_ids);
}

bool asks_for_limits(const std::vector<Edit>& edits) {
  return std::ranges::any_of(edits, [](const Edit& edit) { return is_about_cgroups(edit.key); });
}

// Adjacent and overlapping ranges unite; they are sorted.
bool is_within(const IdRange& wanted, std::span<const IdRange> ranges) {
  std::uint64_t at = wanted.first();
  for (const auto& range : ranges)
    if (range.first() <= at && at < range.end()) at = range.end();
  return at >= wanted.end();
}

// Whether the caller may have them: else nothing of it could be started, entered or deleted again.
Result<void> check_callers(const ChosenIds& ids) {
  const auto callers = TRY(CallersIds::find());
  const auto facts = callers.facts();
  const auto check = [&](const ChosenMap& map, const AutoSource& source,
                         std::uint32_t own) -> Result<void> {
    for (const auto& extent : map.extents) {
      const auto range = extent.outside();
      const bool is_own = range.first() == own && range.count() == 1;
      const bool is_given = is_within(range, source.ranges);
      if (!is_own && !is_given)
        return fail({}, concat("the ids ", to_text(range), " are not yours: ", source.name,
                               " does not give you all of them"));
    }
    return {};
  };
  if (auto uids = check(ids.uids, facts.uids, facts.uid); !uids) return uids;
  return check(ids.gids, facts.gids, facts.gid);
}

// Other ids than before must be nobody else's. Called with the registry held.
Result<void> check_ids(const Container& container, const ConfigFile& before,
                       const ConfigFile& after, const Registry& registry) {
  const auto spec = TRY(container.spec(after));
  if (std::holds_alternative<MapAuto>(spec.mapping))
    return fail({},
                "a container has ids of its own, which its files belong to: set map to others, or "
                "map-self");
  if (std::holds_alternative<MapSelf>(spec.mapping)) return {};
  const auto ids = TRY(find_ids(spec));
  if (auto may = check_callers(ids); !may) return may;
  // With whom it shared them before, it may go on.
  const auto own = held_by(container.path(), before.text());
  auto others = registry.holders();
  std::erase_if(
      others, [&](const Holder& other) { return other.path == own.path || share_ids(other, own); });
  const auto* const holder = holder_of(ids.uids.extents, ids.gids.extents, others);
  return holder == nullptr ? Result<void>{}
                           : fail({}, concat("some of these ids are held by ", holder->path));
}

// One that stands on a base tree takes other ids at once: what it has changed so far becomes a
// base tree, too, and all of them are shown with the new ids.
Result<void> write_ids(const Store& store, const Container& container, const Lock& lock,
                       const ConfigFile& before, const ConfigFile& after) {
  if (!base_tree_of(before)) return container.write_config(lock, after);
  if (is_running(container))
    return fail(
        {}, concat(container.name(), " is running: userns-run stop ", container.name(), " first"));
  const auto old = container.spec(before);
  const auto next = container.spec(after);
  const auto had = old ? find_ids(*old) : std::unexpected(old.error());
  const auto has = next ? find_ids(*next) : std::unexpected(next.error());
  if (!had || !has) return std::unexpected(had ? has.error() : had.error());
  if (!has_all_of({had->uids.extents, had->gids.extents}, *has))
    return fail({}, concat("the files of ", container.name(),
                           " may belong to ids that it would not have any more: keep as many ids "
                           "inside as before, or make a copy with fewer (userns-run create NEW "
                           "--from ",
                           container.name(), " --copy --ids N)"));
  const auto sealed = seal_tree(store, container, lock, after);
  return sealed ? Result<void>{} : std::unexpected(sealed.error());
}

Result<void> edit(const Container& container, const std::vector<Edit>& edits, const Words& words) {
  const auto lock = TRY(container.lock());
  const auto before = TRY(container.config());
  auto after = before;
  if (auto applied = apply(after, edits, words); !applied) return applied;
  const auto possible = TRY(container.spec(after));
  if (asks_for_limits(edits))
    if (auto way = check_way_to_cgroup(possible); !way) return way;
  if (!changes_ids(edits, words)) return container.write_config(lock, after);
  const auto store = store_of(words);
  auto registry = TRY(store ? Registry::lock(*store) : std::unexpected(store.error()));
  if (auto free = check_ids(container, before, after, registry); !free) return free;
  if (auto written = write_ids(*store, container, lock, before, after); !written) return written;
  return registry.add({held_by(container.path(), after.text())});
}

Result<std::string> to_show(const Container& container, bool all) {
  const auto own = TRY(container.config());
  if (!all) return own.text();
  const auto merged = TRY(container.settings(own));
  ConfigFile file;
  for (const auto& setting : merged.all)
    if (setting.key != "include") TRY(file.add(setting.key, setting.value));
  return file.text();
}

}  // namespace

int run_config(const Words& words) {
  if (words.names.empty())
    return own_failure(
        {.rule = {}, .code = 0, .text = "which container? userns-run list shows them"});
  const auto store = store_of(words);
  const auto container = store ? store->find(words.names.front()) : std::unexpected(store.error());
  if (!container) return own_failure(container.error());
  const auto edits = edits_of(words);
  if (!edits) return own_failure(edits.error());
  if (edits->empty() && words.all("unset").empty()) {
    const auto text = to_show(*container, words.has("all"));
    return text ? print(*text) : own_failure(text.error());
  }
  const auto edited = edit(*container, *edits, words);
  return edited ? 0 : own_failure(edited.error());
}

}  // namespace userns::frontend
