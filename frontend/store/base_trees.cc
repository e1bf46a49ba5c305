#include "frontend/store/base_trees.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "frontend/rootfs/archive/image_text.h"
#include "frontend/rootfs/remove.h"
#include "frontend/spec/values.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/ids/in_map.h"
#include "frontend/start/mounts/changes.h"
#include "frontend/store/files.h"
#include "frontend/store/id_blocks.h"
#include "frontend/store/registry.h"
#include "frontend/store/unfinished.h"
#include "policy/cgroup_rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kEnd = ".base";
constexpr const char* kFiles = "rootfs";
constexpr std::size_t kLargestImageFile = 1UL << 20U;
constexpr std::size_t kLongestNumber = 32;

bool is_there(const Fd& dir, const char* name) {
  return ::faccessat(dir.get(), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

BlockIds block_of(const ConfigFile& config) {
  BlockIds block;
  for (const auto& setting : config.settings()) {
    if (setting.key != "map") continue;
    const auto map = parse_map(setting.value);
    const auto* const wish = map ? std::get_if<MapWish>(&*map) : nullptr;
    if (wish == nullptr) continue;
    if (wish->which != MapWish::Which::kGid) block.uids.push_back(wish->extent);
    if (wish->which != MapWish::Which::kUid) block.gids.push_back(wish->extent);
  }
  return block;
}

std::vector<std::string> values_of(const ConfigFile& config, std::string_view key) {
  std::vector<std::string> values;
  for (const auto& setting : config.settings())
    if (setting.key == key) values.push_back(setting.value);
  return values;
}

// Empty, under the name that it will keep.
Result<Container> make_base(const Store& store, const std::string& id, const ConfigFile& config) {
  const auto directory = base_directory(id);
  if (::mkdirat(store.dir().get(), directory.c_str(), 0700) != 0)
    return fail_errno(concat("cannot make ", store.path(), "/", directory));
  auto base = store.open_unfinished(id, directory);
  auto lock = TRY(base ? base->lock() : std::unexpected(base.error()));
  TRY(base->write_config(lock, config));
  return base;
}

// The directory belongs to the container's root, so it moves with the rights of its ids.
Result<void> move_files(const Container& from, const char* name, const Container& to,
                        const ChosenIds& ids) {
  const auto all = TRY(ids_with_self(ids, ::geteuid(), ::getegid()));
  const auto moved = in_map(all.ids, [&](const Outside&) -> Result<std::string> {
    if (rename_to_free_name(from.dir().get(), name, to.dir().get(), kFiles) == 0) return "";
    return fail_errno(concat("cannot move the files of ", from.path(), "/", name));
  });
  return moved ? Result<void>{} : std::unexpected(moved.error());
}

// Whoever begins a container writes down what it stands on with the registry held: so either that
// is seen here, or the base has lost its name before anybody looks for it.
Result<std::optional<Unfinished>> take_unused_base(const Store& store, const std::string& id) {
  const auto registry = Registry::lock(store);
  const auto unused = TRY(registry ? unused_bases(store) : std::unexpected(registry.error()));
  if (std::ranges::find(unused, id) == unused.end()) return std::nullopt;
  const auto base = find_base(store, id);
  auto lock = TRY(base ? base->try_lock() : std::unexpected(base.error()));
  if (!lock) return std::nullopt;  // a run of now shows it
  auto gone = take_away(store, *base, base_directory(id), std::move(*lock));
  return gone ? Result<std::optional<Unfinished>>(std::move(*gone)) : std::unexpected(gone.error());
}

Result<ConfigFile> config_of_base(const Container& container, const ConfigFile& before) {
  ConfigFile config;
  TRY(config.set("map", values_of(before, "map")));
  if (const auto below = base_tree_of(before)) TRY(config.set("base-tree", std::vector{*below}));
  if (values_of(before, "map").empty())
    return fail({}, concat(container.name(), " has no ids of its own: its config has no map"));
  return config;
}

// A container's own, and those of its snapshots.
std::vector<std::string> configs_in(const Store& store, const std::string& directory) {
  std::vector<std::string> files{concat(directory, "/config")};
  const auto place = concat(directory, "/", std::string_view(kSnapshots));
  const auto snapshots =
      open_at(store.dir().get(), place.c_str(), O_RDONLY | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
  const auto names = snapshots ? list_directory(*snapshots) : std::unexpected(snapshots.error());
  if (names)
    for (const auto& name : *names)
      if (ContainerName::parse(name)) files.push_back(concat(place, "/", name));
  return files;
}

}  // namespace

std::string fresh_tree_id() {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::array<unsigned char, 8> random{};
  while (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    continue;
  std::string id = "t";
  for (const auto byte : random) {
    id += kHex[byte >> 4U];
    id += kHex[byte & 15U];
  }
  return id;
}

std::string base_directory(std::string_view id) { return concat(".", id, kEnd); }

std::optional<std::string> base_id(std::string_view directory) {
  if (!directory.starts_with('.') || !directory.ends_with(kEnd)) return std::nullopt;
  const auto id = directory.substr(1, directory.size() - 1 - kEnd.size());
  return ContainerName::parse(id) ? std::optional(std::string(id)) : std::nullopt;
}

std::optional<std::string> base_tree_of(const ConfigFile& config) {
  auto values = values_of(config, "base-tree");
  return values.empty() ? std::nullopt : std::optional(std::move(values.front()));
}

Result<Container> find_base(const Store& store, const std::string& id) {
  if (!ContainerName::parse(id)) return fail({}, concat(quoted(id), " is not a valid base tree"));
  auto base = store.open_unfinished(id, base_directory(id));
  if (base) return base;
  return fail({}, concat("the base tree ", id, " is not in ", store.path(), " any more"),
              base.error().code);
}

Result<std::vector<BaseTree>> trees_of(const Store& store, const ConfigFile& config) {
  std::vector<BaseTree> trees;
  std::size_t seen = 0;
  for (auto id = base_tree_of(config); id; ++seen) {
    if (seen > kMostTrees)
      return fail({}, concat("more than ", kMostTrees, " base trees stand one on the other"));
    const auto base = find_base(store, *id);
    const auto own = TRY(base ? base->config() : std::unexpected(base.error()));
    if (is_there(base->dir(), kFiles))
      trees.push_back({*id, concat(base->path(), "/", kFiles), block_of(own)});
    id = base_tree_of(own);
  }
  return trees;
}

Result<std::vector<std::string>> all_bases(const Store& store) {
  const auto directories = TRY(store.directories());
  std::vector<std::string> ids;
  for (const auto& directory : directories)
    if (auto id = base_id(directory)) ids.push_back(std::move(*id));
  return ids;
}

Result<std::vector<std::string>> unused_bases(const Store& store) {
  auto ids = all_bases(store);
  const auto directories = TRY(ids ? store.directories() : std::unexpected(ids.error()));
  for (const auto& directory : directories)
    for (const auto& file : configs_in(store, directory)) {
      const auto text = read_file_at(store.dir().get(), file.c_str(), kLargestConfig);
      if (!text && (text.error().code == ENOENT || text.error().code == ENOTDIR)) continue;
      const auto config = text ? ConfigFile::parse(*text, file) : std::unexpected(text.error());
      if (!config)
        return fail({}, concat("cannot tell which base trees are in use: ", config.error().text));
      if (const auto used = base_tree_of(*config))
        std::erase_if(*ids, [&](const std::string& id) { return id == *used; });
    }
  return ids;
}

Result<void> remove_base(const Store& store, const std::string& id) {
  const auto base = find_base(store, id);
  auto lock = TRY(base ? base->lock() : std::unexpected(base.error()));
  Unfinished unfinished{*base, base_directory(id), std::move(lock)};
  return remove_unfinished(store, unfinished);
}

Result<bool> remove_unused_base(const Store& store, const std::string& id) {
  auto gone = TRY(take_unused_base(store, id));
  if (!gone) return false;
  auto removed = remove_unfinished(store, *gone);
  return removed ? Result<bool>(true) : std::unexpected(removed.error());
}

Result<std::string> seal_tree(const Store& store, const Container& container, const Lock& lock,
                              const ConfigFile& fresh) {
  const auto before = TRY(container.config());
  const auto trees = TRY(trees_of(store, before));
  if (trees.size() >= kMostTrees)
    return fail({}, concat(container.name(), " stands on ", kMostTrees,
                           " base trees, one on the other, which is the most: begin again with a "
                           "copy (userns-run create NEW --from ",
                           container.name(), " --copy)"));
  const char* const own = trees.empty() ? "rootfs" : "upper";
  auto after = fresh;
  if (!trees.empty() && !is_there(container.dir(), own)) {
    TRY(after.set("base-tree", std::vector{trees.front().id}));
    TRY(container.write_config(lock, after));
    return trees.front().id;
  }
  auto spec = container.spec(before);
  const auto ids = TRY(spec ? find_ids(*spec) : std::unexpected(spec.error()));
  if (trees.empty()) {
    if (!spec->rootfs.starts_with(concat(container.path(), "/")))
      return fail({}, concat(container.name(), " has no files of its own to share"));
    spec->changes = container.path();
    spec->layers.clear();
    if (const auto works = try_changes(*spec, ids); !works)
      return fail({},
                  concat("no overlay can be put on the files of ", container.name(), ": ",
                         works.error().text),
                  works.error().code);
  }
  auto config = TRY(config_of_base(container, before));
  const auto id = fresh_tree_id();
  const auto base = TRY(make_base(store, id, config));
  TRY(after.set("base-tree", std::vector{id}));
  auto done = container.write_config(lock, after);
  // The overlay's own directory belongs to the ids of before.
  if (done) done = remove_tree(ids, container.dir(), "work");
  if (done) done = move_files(container, own, base, ids);
  // Whoever was killed after the move has done it.
  if (done || is_there(base.dir(), kFiles)) return id;
  (void)container.write_config(lock, before);
  (void)remove_base(store, id);
  return std::unexpected(done.error());
}

Result<Fd> hold_base(const Container& base) {
  auto file = open_at(base.dir().get(), "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0, 0600);
  if (!file) return file;
  while (::flock(file->get(), LOCK_SH) != 0)
    if (errno != EINTR) return fail_errno("cannot hold the base tree of the image");
  return file;
}

std::uint64_t data_of_base(const Container& base) {
  const auto text = read_file_at(base.dir().get(), "data", kLongestNumber);
  return text ? parse_decimal(*text).value_or(0) : 0;
}

Result<std::optional<ImageConfig>> read_image_file(const Container& base) {
  const auto text = read_file_at(base.dir().get(), "image", kLargestImageFile);
  if (!text && text.error().code == ENOENT) return std::nullopt;
  if (!text) return std::unexpected(text.error());
  auto image = TRY(image_from_text(*text));
  return image;
}

}  // namespace userns::frontend
