#include "frontend/container/make/rename.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <utility>

#include "frontend/container/destroy.h"
#include "frontend/container/facts.h"
#include "frontend/events/event_log.h"
#include "frontend/store/files.h"
#include "frontend/store/id_blocks.h"
#include "frontend/store/registry.h"
#include "frontend/store/unfinished.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::chrono::seconds kPatience{5};

// A snapshot whose turn it is, with its settings.
struct Held {
  Container container;
  Lock lock;
  ConfigFile config;
};

// All of them before anything is changed.
Result<std::vector<Held>> hold_snapshots(const Store& store, const std::string& base) {
  const auto names = TRY(snapshots_of(store, base));
  std::vector<Held> all;
  for (const auto& name : names) {
    auto container = TRY(store.find(name));
    auto lock = TRY(container.lock_within(kPatience));
    if (!lock)
      return fail({},
                  concat("its snapshot ", name, " is being changed by another process: try again"));
    auto config = TRY(container.config());
    all.push_back({std::move(container), std::move(*lock), std::move(config)});
  }
  return all;
}

Result<void> point_to(std::vector<Held>& snapshots, const std::string& base) {
  for (auto& snapshot : snapshots) {
    auto done = snapshot.config.set("base", std::vector{base});
    if (done) done = snapshot.container.write_config(snapshot.lock, snapshot.config);
    if (!done) return done;
  }
  return {};
}

bool has(const std::vector<Setting>& settings, std::string_view key, std::string_view piece = "") {
  return std::ranges::any_of(settings, [&](const Setting& one) {
    return one.key == key && one.value.find(piece) != std::string::npos;
  });
}

std::vector<std::string> what_follows(const std::vector<Setting>& settings, const std::string& to) {
  std::vector<std::string> notes;
  if (!has(settings, "hostname"))
    notes.push_back(concat("its host name is ", to, " from its next start on"));
  if (has(settings, "net", "bridge=") && !has(settings, "net", "mac="))
    notes.push_back(
        "its network interfaces get other MAC addresses, and addresses that go with them");
  return notes;
}

Result<void> move(const Store& store, const Container& container, const std::string& to) {
  const int dir = store.dir().get();
  if (rename_to_free_name(dir, container.name().c_str(), dir, to.c_str()) != 0)
    return fail_errno(concat("cannot give ", container.name(), " the name ", to));
  write_event(store.dir(),
              {.name = container.name(), .what = std::string(event::kRename), .to = to});
  ::fsync(store.dir().get());
  return {};
}

// The ids stay taken under either name until the other one is gone.
Result<void> register_name(const Store& store, const Container& container, const std::string& to) {
  auto registry = Registry::lock(store);
  const auto config = TRY(registry ? container.config() : std::unexpected(registry.error()));
  if (!store.is_free(to))
    return fail({}, concat("there is ", to, " in ", store.path(), " already: choose another name"),
                EEXIST);
  // Back to the name that they still know is fine.
  if (name_before(store, container.name()) != to)
    if (auto unwanted = check_not_awaited(store, to); !unwanted) return unwanted;
  if (auto noted = replace_file(container.dir(), kRenamed, container.name()); !noted) return noted;
  if (auto added = registry->add({held_by(concat(store.path(), "/", to), config.text())}); !added)
    return added;
  return move(store, container, to);
}

// After a rename that was killed between its two steps.
Result<bool> finish_earlier(const Store& store, const std::string& from, const std::string& to) {
  if (!store.is_free(from) || !store.find(to)) return false;
  auto snapshots = TRY(hold_snapshots(store, from));
  if (snapshots.empty()) return false;
  TRY(point_to(snapshots, to));
  ::unlinkat(store.dir().get(), concat(to, "/", std::string_view(kRenamed)).c_str(), 0);
  return true;
}

}  // namespace

Result<std::vector<std::string>> rename_container(const Store& store, const std::string& from,
                                                  const std::string& to) {
  const auto finished = TRY(finish_earlier(store, from, to));
  if (finished) return std::vector<std::string>{};
  const auto container = store.find(from);
  const auto lock = TRY(container ? container->lock() : std::unexpected(container.error()));
  if (is_running(*container))
    return fail({}, concat(from, " is running under its name: userns-run stop ", from, " first"));
  auto snapshots = hold_snapshots(store, from);
  const auto config = TRY(snapshots ? container->config() : std::unexpected(snapshots.error()));
  TRY(register_name(store, *container, to));
  if (auto pointed = point_to(*snapshots, to); !pointed)
    return fail({},
                concat("not all snapshots know the new name: ", pointed.error().text,
                       "; the same command goes on with it"),
                pointed.error().code);
  ::unlinkat(container->dir().get(), kRenamed, 0);
  return what_follows(config.settings(), to);
}

}  // namespace userns::frontend
