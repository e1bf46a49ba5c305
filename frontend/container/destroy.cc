#include "frontend/container/destroy.h"

#include <algorithm>
#include <cerrno>

#include "frontend/container/facts.h"
#include "frontend/container/stop.h"
#include "frontend/events/event_log.h"
#include "frontend/store/files.h"
#include "frontend/store/registry.h"
#include "frontend/store/state.h"
#include "frontend/store/unfinished.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

bool is_snapshot_of(const Container& container, std::string_view name) {
  const auto config = container.config();
  if (!config) return false;
  const auto settings = config->settings();
  return std::ranges::any_of(
      settings, [&](const Setting& one) { return one.key == "base" && one.value == name; });
}

Result<void> check_snapshots(const Store& store, const std::string& name,
                             std::string_view what_to_do) {
  const auto snapshots = TRY(snapshots_of(store, name));
  if (snapshots.empty()) return {};
  std::string list;
  for (const auto& snapshot : snapshots) list += concat(list.empty() ? "" : ", ", snapshot);
  return fail({}, concat(name, " has snapshots that show its files (", list, "): ", what_to_do));
}

// One whose monitor was killed may have left processes, which have its ids.
Result<void> await_last_run(const Container& container) {
  const auto run = TRY(lock_run(container.dir()));
  return run ? clean_up_after_crash(container.dir()) : Result<void>{};
}

Result<void> check_stopped(const Container& container, bool force) {
  if (!is_running(container)) return await_last_run(container);
  if (force) return stop_for_good(container);
  return fail({}, concat(container.name(), " is running: userns-run stop ", container.name(),
                         " first, or give --force"));
}

// Of ids that were taken away no file can be deleted, but by root.
bool are_ids_gone(const Error& error) { return error.text.contains("[IM-RANGE]"); }

std::unexpected<Error> not_whole(const Unfinished& rest, const Error& error,
                                 std::string_view next) {
  const auto& name = rest.container.name();
  const auto first = are_ids_gone(error)
                         ? concat(
                               "; ask the administrator to give you these ids back, or to "
                               "delete ",
                               rest.container.path(), "; then ")
                         : std::string("; ");
  return fail(error.rule,
              concat("not all of ", name, " is deleted: ", error.text, first, "userns-run ", next,
                     " goes on with it"),
              error.code);
}

}  // namespace

Result<void> destroy_container(const Store& store, const Container& container, bool force) {
  auto lock = TRY(force ? lock_to_stop(container) : container.lock());
  if (auto stopped = check_stopped(container, force); !stopped) return stopped;
  if (auto alone = check_snapshots(store, container.name(), "destroy them first"); !alone)
    return alone;
  auto ended = TRY(end_container(store, container, std::move(lock)));
  write_event(store.dir(), {.name = container.name(), .what = std::string(event::kDestroy)});
  if (auto removed = remove_unfinished(store, ended); !removed)
    return not_whole(ended, removed.error(), concat("destroy ", container.name()));
  return {};
}

Result<void> check_start(const Container& container, const Spec& spec) {
  if (spec.read_only || spec.overlay) return {};
  const auto store =
      TRY(Store::open(std::string_view(container.path()).substr(0, container.path().rfind('/'))));
  return check_snapshots(store, container.name(),
                         "start it with --read-only or --overlay, or destroy them first");
}

Result<bool> destroy_rest(const Store& store, std::string_view name) {
  if (!store.dir().valid()) return false;
  auto registry = Registry::lock(store);
  if (!registry) return std::unexpected(registry.error());
  auto others = TRY(look_around(store, *registry, name));
  registry = fail({}, "");  // the others' turn
  bool any = false;
  for (auto& left : others.litter) {
    if (left.container.name() != name) continue;
    any = true;
    if (auto removed = remove_unfinished(store, left); !removed)
      return not_whole(left, removed.error(), concat("destroy ", name));
  }
  return any;
}

std::string name_before(const Store& store, std::string_view name) {
  if (!store.dir().valid() || !container_name(name)) return {};
  const auto text =
      read_file_at(store.dir().get(), concat(name, "/", std::string_view(kRenamed)).c_str(), 64);
  // Another container that has got the name since then has snapshots of its own.
  return text && container_name(*text) && store.is_free(*text) ? *text : std::string{};
}

Result<void> check_not_awaited(const Store& store, std::string_view name) {
  const auto snapshots = TRY(snapshots_of(store, name));
  if (snapshots.empty()) return {};
  return fail(
      {}, concat(snapshots.front(), " is a snapshot of a container ", name,
                 " that is not there: if renaming it was interrupted, userns-run rename ", name,
                 " NEW goes on with it; else userns-run destroy ", snapshots.front(), " first"));
}

Result<std::vector<Error>> remove_litter(const Store& store) {
  std::vector<Error> failed;
  if (!store.dir().valid()) return failed;
  auto registry = Registry::lock(store);
  if (!registry) return std::unexpected(registry.error());
  auto others = TRY(look_around(store, *registry, ""));
  registry = fail({}, "");  // the others' turn
  for (auto& left : others.litter)
    if (auto removed = remove_unfinished(store, left); !removed)
      failed.push_back(not_whole(left, removed.error(), "prune").error());
  return failed;
}

Result<std::vector<std::string>> snapshots_of(const Store& store, std::string_view name) {
  auto names = store.names();
  if (!names) return names;
  const auto before = name_before(store, name);
  std::erase_if(*names, [&](const std::string& other) {
    const auto container = store.find(other);
    return !container || (!is_snapshot_of(*container, name) &&
                          (before.empty() || !is_snapshot_of(*container, before)));
  });
  return names;
}

}  // namespace userns::frontend
