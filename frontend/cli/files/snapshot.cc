#include "frontend/cli/files/snapshot.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/cli/table.h"
#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/select.h"
#include "frontend/container/make/snapshots.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kUsage =
    "userns-run snapshot [create] NAME [--as S], snapshot list NAME, snapshot restore|delete NAME "
    "S";

struct Asked {
  std::string act = "create";
  std::string container;
  std::string snapshot;
};

bool takes_snapshot(std::string_view act) { return act == "restore" || act == "delete"; }

Result<Asked> parse(const Words& words) {
  constexpr std::array<std::string_view, 4> kActs{"create", "list", "restore", "delete"};
  auto names = words.names;
  Asked asked;
  if (!names.empty() && std::ranges::find(kActs, names.front()) != kActs.end()) {
    asked.act = names.front();
    names.erase(names.begin());
  }
  if (names.size() != (takes_snapshot(asked.act) ? 2U : 1U))
    return fail({}, concat("which snapshot of what? ", kUsage));
  asked.container = names.front();
  asked.snapshot =
      takes_snapshot(asked.act) ? names.back() : std::string(words.one("as").value_or(""));
  if (words.has("as") && asked.act != "create")
    return fail({}, concat("--as names a new one: ", kUsage));
  return asked;
}

int list(const Container& container, bool json) {
  const auto all = snapshots_in(container);
  if (!all) return own_failure(all.error());
  if (json) {
    auto array = nlohmann::json::array();
    for (const auto& one : *all) array.push_back({{"name", one.name}, {"taken_at", one.taken_at}});
    return print(array.dump(1, ' ', true) + "\n");
  }
  std::vector<std::vector<std::string>> rows{{"NAME", "TAKEN"}};
  for (const auto& one : *all) rows.push_back({one.name, time_for_people(one.taken_at)});
  return print(to_table(std::move(rows)));
}

int take(const Store& store, const Container& container, const std::string& name) {
  const auto taken =
      take_snapshot(store, container, name.empty() ? std::nullopt : std::optional(name));
  return taken ? print(*taken + "\n") : own_failure(taken.error());
}

int snapshot_verb(const Words& words) {
  const auto asked = parse(words);
  const auto store = asked ? store_of(words) : std::unexpected(asked.error());
  const auto container = store ? store->find(asked->container) : std::unexpected(store.error());
  if (!container) return own_failure(container.error());
  if (asked->act == "list") return list(*container, words.has("json"));
  if (asked->act == "create") return take(*store, *container, asked->snapshot);
  const auto done = asked->act == "restore" ? restore_snapshot(*store, *container, asked->snapshot)
                                            : delete_snapshot(*store, *container, asked->snapshot);
  return done ? 0 : own_failure(done.error());
}

constexpr std::array kSnapshotOptions{VerbOption{"as", "S", "its name (snap0, snap1, ...)", false},
                                      VerbOption{"json", "", "list: for programs", false},
                                      kPathOption};

}  // namespace

constinit const Verb kSnapshotVerb{
    .name = "snapshot",
    .arguments = "[create|list] NAME | restore|delete NAME S",
    .summary = "Takes a snapshot of a container, lists them, puts it back to one",
    .options = kSnapshotOptions,
    .run = snapshot_verb,
    .kind = VerbKind::kMake};

}  // namespace userns::frontend
