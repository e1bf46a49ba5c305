#include "frontend/cli/verbs/list.h"

#include <algorithm>
#include <ctime>

#include "frontend/cli/facts_text.h"
#include "frontend/cli/terminal.h"
#include "frontend/cli/usage/host.h"
#include "frontend/container/destroy.h"
#include "frontend/container/facts.h"
#include "frontend/copy/size.h"
#include "frontend/doctor/nic_check.h"
#include "frontend/store/files.h"
#include "frontend/store/registry.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

bool is_wanted(const ContainerFacts& facts, const Words& words) {
  const auto groups = words.all("group");
  const bool in_group =
      groups.empty() || std::ranges::any_of(facts.config.groups, [&](std::string_view label) {
        return std::ranges::find(groups, label) != groups.end();
      });
  if (words.has("autostart") && !facts.config.autostart) return false;
  return in_group && !(words.has("running") && !facts.running) &&
         !(words.has("stopped") && facts.running);
}

// Each in a process of its own: a container's files are read with that container's ids.
int add_size(const Container& container, ContainerFacts& facts) {
  const auto size = own_size_of(container);
  if (!size) return own_failure(size.error());
  facts.size = *size;
  return 0;
}

// One that cannot be looked at is told about; the others are listed all the same.
// The exit status.
Result<int> add_facts(const Store& store, const Words& words, std::vector<ContainerFacts>& all) {
  int status = 0;
  const auto names =
      TRY(words.names.empty() ? store.names() : Result<std::vector<std::string>>(words.names));
  for (const auto& name : names) {
    const auto container = store.find(name);
    if (!container && !words.names.empty()) return std::unexpected(container.error());
    if (!container) (void)own_failure(container.error());
    if (!container) continue;
    auto facts = facts_of(*container);
    if (!facts.problem.empty()) (void)own_failure({.rule = {}, .code = 0, .text = facts.problem});
    if (!is_wanted(facts, words)) continue;
    if (words.has("size") && facts.problem.empty()) status |= add_size(*container, facts);
    all.push_back(std::move(facts));
  }
  return status;
}

Result<std::vector<std::string>> paths_of(const Words& words) {
  if (words.has("all-paths") && words.one("path"))
    return fail({}, "--all-paths and --path exclude each other");
  if (words.has("all-paths")) return known_stores();
  const auto store = TRY(store_of(words));
  return std::vector{store.path()};
}

std::string text_for(const Words& words, const std::vector<ContainerFacts>& all) {
  if (words.has("json")) return list_json(all);
  if (!words.has("names"))
    return list_table(all, std::time(nullptr),
                      {.size = words.has("size"), .path = words.has("all-paths")});
  std::string names;
  for (const auto& facts : all) names += concat(facts.name, "\n");
  return names;
}

}  // namespace

int run_list(const Words& words) {
  if (words.has("host")) return list_host(words.has("json"));
  const auto paths = paths_of(words);
  if (!paths) return own_failure(paths.error());
  if (words.has("names") && words.has("size"))
    return own_failure({.rule = {}, .code = 0, .text = "--names and --size exclude each other"});
  std::vector<ContainerFacts> all;
  int status = 0;
  for (const auto& path : *paths) {
    const auto store = Store::open(path);
    const auto added = store ? add_facts(*store, words, all) : std::unexpected(store.error());
    if (!added && !words.has("all-paths")) return own_failure(added.error());
    if (!added) (void)own_failure(added.error());
    if (added && *added != 0) status = *added;
  }
  const int put = print(text_for(words, all));
  return put != 0 ? put : status;
}

int run_info(const Words& words) {
  if (words.has("host"))
    return info_host(words.names.empty() ? "" : words.names.front(), words.has("json"));
  const auto store = store_of(words);
  const auto container = store ? one_container(words) : std::unexpected(store.error());
  if (!container) return own_failure(container.error());
  const auto facts = facts_of(*container);
  MoreFacts more;
  const auto spec = container->spec();
  if (spec) more.rootfs = spec->rootfs;
  if (auto snapshots = snapshots_of(*store, container->name()))
    more.snapshots = std::move(*snapshots);
  if (facts.running && facts.running->pid != 0)
    for (auto& problem : nic_problems(facts.running->pid))
      more.network.push_back(std::move(problem.text));
  constexpr std::size_t kLargestImage = 64UL << 10U;
  const auto image = read_file_at(container->dir().get(), kImageFile, kLargestImage);
  for (std::string_view rest = image ? std::string_view(*image) : ""; !rest.empty();)
    more.image.emplace_back(take_until(rest, '\n'));
  return print(words.has("json") ? info_json(facts, more)
                                 : info_text(facts, more, std::time(nullptr)));
}

}  // namespace userns::frontend
