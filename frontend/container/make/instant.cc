#include "frontend/container/make/instant.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <span>
#include <utility>

#include "common/config.h"
#include "frontend/container/destroy.h"
#include "frontend/rootfs/archive/image_text.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/mounts/idmapped.h"
#include "frontend/store/files.h"
#include "frontend/store/id_blocks.h"
#include "frontend/store/registry.h"
#include "frontend/store/unfinished.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr const char* kWorks = ".instant";
constexpr std::size_t kLongestRelease = 128;

std::string kernel_release() {
  utsname facts{};
  return ::uname(&facts) == 0 ? facts.release : "";
}

// The last of what is delegated, so that containers, which get the first that is free, seldom have
// the same. One block for all bases of the caller's.
std::optional<Extent> last_block(const AutoSource& source) {
  if (source.ranges.empty()) return std::nullopt;
  const auto& range = source.ranges.back();
  const auto count = std::min<std::uint64_t>(range.count(), kAutoBlock);
  const auto first = range.end() - count;
  if (first != 0) return Extent::make(0, first, count);
  return Extent::make(0, 1, count - 1);
}

Result<Blocks> block_for_bases() {
  const auto callers = TRY(CallersIds::find());
  const auto facts = callers.facts();
  const auto uids = last_block(facts.uids);
  const auto gids = last_block(facts.gids);
  if (!uids || !gids) return fail({}, "no ids are delegated to the caller");
  return Blocks{{*uids}, {*gids}};
}

Result<ChosenIds> ids_of(const Blocks& block) {
  Spec spec;
  std::vector<MapWish> wishes;
  for (const auto& extent : block.uids) wishes.push_back({MapWish::Which::kUid, extent});
  for (const auto& extent : block.gids) wishes.push_back({MapWish::Which::kGid, extent});
  spec.mapping = std::move(wishes);
  return find_ids(spec);
}

// Of a base that is being made: what it will be called is taken only once it is whole.
Result<void> give_name(const Store& store, Unfinished& base, const std::string& id) {
  ::fsync(base.container.dir().get());
  const int dir = store.dir().get();
  if (rename_to_free_name(dir, base.directory.c_str(), dir, base_directory(id).c_str()) == 0) {
    ::fsync(store.dir().get());
    return {};
  }
  // Another process was as fast: the two are the same.
  if (errno == EEXIST) return remove_unfinished(store, base);
  return fail_errno(concat("cannot give ", store.path(), "/", base.directory, " its name"));
}

using FillBase = std::function<Result<Filled>(const ChosenIds& ids, const Fd& target)>;

Result<Filled> fill_base(const Unfinished& base, const Blocks& block, const FillBase& fill) {
  ConfigFile config;
  TRY(config.set("map", map_values(block)));
  TRY(base.container.write_config(base.lock, config));
  const auto ids = TRY(ids_of(block));
  if (::mkdirat(base.container.dir().get(), "rootfs", 0700) != 0)
    return fail_errno(concat("cannot make ", base.container.path(), "/rootfs"));
  const auto target = open_at(base.container.dir().get(), "rootfs", O_RDONLY | O_DIRECTORY,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  return target ? fill(ids, *target) : std::unexpected(target.error());
}

// A tree that other ids own is shown with the container's.
Result<Fd> open_layer(const Spec& spec, const ChosenIds& ids, const std::string& path,
                      std::size_t index) {
  if (index < spec.layer_blocks.size() && !spec.layer_blocks[index].uids.empty()) {
    const auto shown = TRY(block_as(spec.layer_blocks[index], ids));
    if (shown) return idmapped_mount(path, *shown, true);
  }
  return open_at(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY);  // it may be closed to the caller
}

// What stands on the base `id` would stand on these.
Result<std::vector<BaseTree>> trees_above(const Store& store, const std::string& id) {
  ConfigFile stands;
  TRY(stands.set("base-tree", std::vector{id}));
  return trees_of(store, stands);
}

Result<Unfinished> begin_base(const Store& store, const std::string& id) {
  const auto registry = Registry::lock(store);
  return registry ? begin_container(store, *registry, id) : std::unexpected(registry.error());
}

}  // namespace

Result<std::vector<Fd>> tree_layers(const Spec& spec, const ChosenIds& ids) {
  std::vector<std::string> paths = spec.layers;
  paths.push_back(spec.rootfs);
  std::vector<Fd> layers;
  if (!spec.changes.empty()) {
    auto changes = open_at(AT_FDCWD, (spec.changes + "/upper").c_str(), O_PATH | O_DIRECTORY);
    if (!changes && changes.error().code != ENOENT) return std::unexpected(changes.error());
    if (changes) layers.push_back(std::move(*changes));  // else it was never started
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    auto layer = TRY(open_layer(spec, ids, paths[i], i));
    layers.push_back(std::move(layer));
  }
  return layers;
}

Result<std::optional<Filled>> fill_from_base(const Store& store, const std::string& id,
                                             const ChosenIds& ids, const Fd& target,
                                             const FillHow& how) {
  const auto base = find_base(store, id);
  if (!base) return std::nullopt;
  const auto held = TRY(hold_base(*base));
  const auto trees = trees_above(store, id);  // it is still called so
  if (!trees) return std::unexpected(trees.error());
  if (trees->size() != 1) return std::nullopt;
  const auto& block = trees->front().block;
  const auto own = TRY(ids_of({block.uids, block.gids}));
  const Fd tree(
      ::openat(base->dir().get(), "rootfs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!tree.valid()) return fail_errno(concat("cannot open ", trees->front().path));
  auto filled = fill_from_copy(ids, target, own, std::span(&tree, 1), how);
  auto image = TRY(filled ? read_image_file(*base) : std::unexpected(filled.error()));
  if (image) filled->image = std::move(*image);
  return std::move(*filled);
}

Result<BlockIds> block_of_image(const Store& store, const std::string& id) {
  if (const auto trees = trees_above(store, id); trees && !trees->empty())
    return trees->front().block;
  const auto block = block_for_bases();  // it is still to be unpacked
  if (!block) return std::unexpected(block.error());
  return BlockIds{block->uids, block->gids};
}

bool is_known_to_work(const Store& store) {
  const auto helper = concat(std::string_view(kHelperDir), "/userns-idmap");
  const auto noted = read_file_at(store.dir().get(), kWorks, kLongestRelease);
  return noted && *noted == kernel_release() && ::access(helper.c_str(), X_OK) == 0;
}

void note_that_it_works(const Store& store) {
  (void)replace_file_of_this_boot(store.dir(), kWorks, kernel_release());
}

Result<void> try_idmap(const Fd& dir, const ChosenIds& ids) {
  const auto shown = TRY(own_files_as(ids, ::geteuid(), ::getegid(), 0));
  if (!shown) return {};
  const auto mount = idmapped_mount(dir, *shown, true);
  return mount ? Result<void>{} : std::unexpected(mount.error());
}

Result<Container> base_of_image(const Store& store, const ImageParts& image, const FillHow& how) {
  if (auto base = find_base(store, image.id)) return base;
  const auto block = block_for_bases();
  if (!block) return std::unexpected(block.error());
  auto base = TRY(begin_base(store, image.id));
  const auto filled = fill_base(base, *block, [&](const ChosenIds& ids, const Fd& target) {
    return fill_from_parts(ids, target, image.open, how);
  });
  auto done = filled ? replace_file(base.container.dir(), "data", concat(filled->counts.bytes))
                     : std::unexpected(filled.error());
  if (done) done = replace_file(base.container.dir(), "image", to_text(filled->image));
  if (done) done = give_name(store, base, image.id);
  if (done) return find_base(store, image.id);
  (void)remove_unfinished(store, base);
  // Another process was faster, and has deleted the layers.
  if (auto others = find_base(store, image.id)) return others;
  return std::unexpected(done.error());
}

std::string why_not_shared(const Store& store, const Container& container,
                           const ConfigFile& config) {
  for (const auto& setting : config.settings()) {
    if (setting.key == "rootfs") return "its root file system is a directory of the user's";
    if (setting.key == "base") return "it is a snapshot";
    if (setting.key == "map-self") return "it has no ids of its own";
  }
  const auto snapshots = snapshots_of(store, container.name());
  if (!snapshots) return snapshots.error().text;
  return snapshots->empty() ? "" : "it has snapshots";
}

Result<void> base_of_copy(const Store& store, const Container& container, const std::string& id) {
  const auto spec = container.spec();
  const auto from = spec ? find_ids(*spec) : std::unexpected(spec.error());
  const auto layers = from ? tree_layers(*spec, *from) : std::unexpected(from.error());
  auto base = TRY(layers ? begin_base(store, id) : std::unexpected(layers.error()));
  const auto filled = fill_base(base, {from->uids.extents, from->gids.extents},
                                [&](const ChosenIds& ids, const Fd& target) {
                                  return fill_from_copy(ids, target, *from, *layers, {});
                                });
  auto done = filled ? give_name(store, base, id) : std::unexpected(filled.error());
  if (!done) (void)remove_unfinished(store, base);
  return done;
}

}  // namespace userns::frontend
