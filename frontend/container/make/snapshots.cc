#include "frontend/container/make/snapshots.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "frontend/container/destroy.h"
#include "frontend/container/facts.h"
#include "frontend/container/make/instant.h"
#include "frontend/container/pause.h"
#include "frontend/spec/tell.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/store/base_trees.h"
#include "frontend/store/files.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr unsigned kMostNumbers = 10000;
constexpr std::int64_t kNanoseconds = 1'000'000'000;

Result<Fd> directory_of(const Container& container, bool make) {
  if (make && ::mkdirat(container.dir().get(), kSnapshots, 0700) != 0 && errno != EEXIST)
    return fail_errno(concat("cannot make ", container.path(), "/", std::string_view(kSnapshots)));
  return open_at(container.dir().get(), kSnapshots, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

std::unexpected<Error> no_such(const Container& container, const std::string& name) {
  return fail({},
              concat(container.name(), " has no snapshot ", quoted(name),
                     ": userns-run snapshot list ", container.name(), " shows them"),
              ENOENT);
}

Result<ConfigFile> record_of(const Container& container, const std::string& name) {
  if (!container_name(name)) return no_such(container, name);
  const auto directory = directory_of(container, false);
  if (!directory) return no_such(container, name);
  const auto text = read_file_at(directory->get(), name.c_str(), kLargestConfig);
  if (!text && text.error().code == ENOENT) return no_such(container, name);
  if (!text) return std::unexpected(text.error());
  return ConfigFile::parse(*text,
                           concat(container.path(), "/", std::string_view(kSnapshots), "/", name));
}

bool is_in(const std::vector<Snapshot>& all, std::string_view name) {
  return std::ranges::find(all, name, &Snapshot::name) != all.end();
}

Result<std::string> free_name(const std::vector<Snapshot>& all) {
  for (unsigned number = 0; number < kMostNumbers; ++number)
    if (auto name = concat("snap", number); !is_in(all, name)) return name;
  return fail({}, "there are too many snapshots: name this one with --as");
}

Result<std::string> name_for(const Container& container, const std::optional<std::string>& asked) {
  const auto all = TRY(snapshots_in(container));
  if (!asked) return free_name(all);
  auto name = container_name(*asked);
  if (name && is_in(all, *name))
    return fail(
        {},
        concat(container.name(), " has a snapshot ", *name, " already: userns-run snapshot delete ",
               container.name(), " ", *name, " deletes that"),
        EEXIST);
  return name;
}

Result<Lock> lock_stopped(const Container& container) {
  auto lock = container.lock();
  if (lock && is_running(container))
    return fail({}, concat(container.name(), " is running, and its files change: userns-run stop ",
                           container.name(), " first"));
  return lock;
}

Result<void> check_can_be_shared(const Store& store, const Container& container,
                                 const ConfigFile& config) {
  const auto why = why_not_shared(store, container, config);
  if (why.empty()) return {};
  return fail({}, concat("there can be no snapshot of ", container.name(), ": ", why,
                         "; userns-run export writes it to an archive"));
}

Result<void> write_record(const Fd& directory, const std::string& name, ConfigFile record,
                          const std::string& id) {
  if (auto set = record.set("base-tree", std::vector{id}); !set) return set;
  return replace_file(directory, name.c_str(), record.text());
}

// Too many trees stand one on the other. The record comes first: nobody takes the tree for unused.
Result<void> keep_copy(const Store& store, const Container& container, const Fd& directory,
                       const std::string& name, const ConfigFile& config) {
  const auto id = fresh_tree_id();
  if (auto written = write_record(directory, name, config, id); !written) return written;
  auto copied = base_of_copy(store, container, id);
  if (!copied) (void)::unlinkat(directory.get(), name.c_str(), 0);
  return copied;
}

Result<void> keep_files(const Store& store, const Container& container, const Lock& lock,
                        const Fd& directory, const std::string& name) {
  const auto config = container.config();
  const auto trees = TRY(config ? trees_of(store, *config) : std::unexpected(config.error()));
  // One layer is left for putting it back.
  if (trees.size() + 1 >= kMostTrees) return keep_copy(store, container, directory, name, *config);
  const auto id = seal_tree(store, container, lock, *config);
  return id ? write_record(directory, name, *config, *id) : std::unexpected(id.error());
}

// Its layers are in use, so they are copied; it stands still meanwhile.
Result<void> keep_running(const Store& store, const Container& container, const Lock& lock,
                          const Fd& directory, const std::string& name, const ConfigFile& config) {
  const auto pause = TRY(Pause::begin(container, lock));
  if (!pause.is_still())
    tell("userns-run",
         {.rule = {},
          .code = 0,
          .text = concat(container.name(),
                         " runs, and has no cgroup by which it could be stopped for a moment: "
                         "what it changed meanwhile is copied as it was found")});
  return keep_copy(store, container, directory, name, config);
}

bool is_of_snapshots(std::string_view id) { return id.starts_with('t'); }

// From the topmost on, until one is still in use. An image's stays: prune knows whether it is
// wanted.
Result<void> remove_unused(const Store& store, const std::vector<BaseTree>& trees) {
  for (const auto& tree : trees) {
    if (!is_of_snapshots(tree.id)) return {};
    const auto removed = TRY(remove_unused_base(store, tree.id));
    if (!removed) return {};
  }
  return {};
}

std::vector<std::string> maps_of(const ConfigFile& config) {
  std::vector<std::string> values;
  for (const auto& setting : config.settings())
    if (setting.key == "map") values.push_back(setting.value);
  return values;
}

}  // namespace

Result<std::vector<Snapshot>> snapshots_in(const Container& container) {
  std::vector<std::pair<std::int64_t, Snapshot>> all;  // nanoseconds
  const auto directory = directory_of(container, false);
  if (!directory && directory.error().code == ENOENT) return std::vector<Snapshot>{};
  const auto names =
      TRY(directory ? list_directory(*directory) : std::unexpected(directory.error()));
  for (const auto& name : names) {
    struct stat facts{};
    if (!container_name(name) ||
        ::fstatat(directory->get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    all.emplace_back(facts.st_mtim.tv_sec * kNanoseconds + facts.st_mtim.tv_nsec,
                     Snapshot{name, facts.st_mtim.tv_sec});
  }
  std::ranges::stable_sort(all, {}, [](const auto& one) { return one.first; });
  std::vector<Snapshot> sorted;
  for (auto& [when, one] : all) sorted.push_back(std::move(one));
  return sorted;
}

Result<std::string> take_snapshot(const Store& store, const Container& container,
                                  const std::optional<std::string>& asked) {
  const auto lock = container.lock();
  const auto name = lock ? name_for(container, asked) : std::unexpected(lock.error());
  const auto config = TRY(name ? container.config() : std::unexpected(name.error()));
  TRY(check_can_be_shared(store, container, config));
  const auto directory = TRY(directory_of(container, true));
  const auto kept = is_running(container)
                        ? keep_running(store, container, *lock, directory, *name, config)
                        : keep_files(store, container, *lock, directory, *name);
  return kept ? Result<std::string>(*name) : std::unexpected(kept.error());
}

// What it has changed so far becomes a base tree of its own first: so there is no moment at which
// its files are partly those of then.
Result<void> restore_snapshot(const Store& store, const Container& container,
                              const std::string& name) {
  const auto lock = lock_stopped(container);
  auto record = lock ? record_of(container, name) : std::unexpected(lock.error());
  const auto config = TRY(record ? container.config() : std::unexpected(record.error()));
  if (auto can = check_can_be_shared(store, container, config); !can) return can;
  if (auto set = record->set("map", maps_of(config)); !set) return set;
  const auto sealed = TRY(seal_tree(store, container, *lock, config));
  ConfigFile left;
  auto done = left.set("base-tree", std::vector{sealed});
  const auto trees = TRY(done ? trees_of(store, left) : std::unexpected(done.error()));
  if (auto written = container.write_config(*lock, *record); !written) return written;
  return remove_unused(store, trees);
}

Result<void> delete_snapshot(const Store& store, const Container& container,
                             const std::string& name) {
  const auto lock = container.lock();
  const auto record = lock ? record_of(container, name) : std::unexpected(lock.error());
  const auto directory =
      TRY(record ? directory_of(container, false) : std::unexpected(record.error()));
  if (::unlinkat(directory.get(), name.c_str(), 0) != 0)
    return fail_errno(concat("cannot delete the snapshot ", name, " of ", container.name()));
  const auto trees = trees_of(store, *record);
  if (!trees) return {};  // it was killed before it had any
  return remove_unused(store, *trees);
}

}  // namespace userns::frontend
