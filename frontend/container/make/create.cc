#include "frontend/container/make/create.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "frontend/container/destroy.h"
#include "frontend/container/make/identity.h"
#include "frontend/container/make/image_files.h"
#include "frontend/container/make/image_settings.h"
#include "frontend/container/make/other.h"
#include "frontend/container/pause.h"
#include "frontend/events/event_log.h"
#include "frontend/run/cgroup/cgroup.h"
#include "frontend/run/signals.h"
#include "frontend/start/cgroup_entry.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/ids/tree_ids.h"
#include "frontend/start/mounts/changes.h"
#include "frontend/start/mounts/idmapped.h"
#include "frontend/start/mounts/remote_files.h"
#include "frontend/start/mounts/source_path.h"
#include "frontend/store/base_trees.h"
#include "frontend/store/id_blocks.h"
#include "frontend/store/living.h"
#include "frontend/store/registry.h"
#include "frontend/store/unfinished.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// A killed process may hold its lock for some moments longer.
constexpr int kTries = 50;
constexpr std::chrono::milliseconds kPause{20};

Result<void> check_free(const Store& store, const std::string& name) {
  if (::faccessat(store.dir().get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0)
    return check_not_awaited(store, name);
  return fail({}, concat("there is a container ", name, " in ", store.path(),
                         " already: userns-run info ", name, " shows it"));
}

// --- ids ----------------------------------------------------------------------------------------

// What the files of a directory that is there already belong to.
struct RootOwner {
  std::string path;
  std::uint32_t uid;
  std::uint32_t gid;
};
Result<RootOwner> owner_of(const std::string& path) {
  const auto plain = TRY(plain_source(path, {}));
  const auto dir = open_at(AT_FDCWD, plain.c_str(), O_RDONLY | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
  if (!dir) return fail({}, concat("cannot open the root file system ", path), dir.error().code);
  struct stat facts{};
  if (::fstat(dir->get(), &facts) != 0) return fail_errno(concat("cannot look at ", path));
  return RootOwner{path, facts.st_uid, facts.st_gid};
}

bool has_outside(const ChosenMap& map, std::uint32_t id) {
  const auto one = IdRange::make(id, 1);
  return one && std::ranges::any_of(map.extents, [&](const Extent& extent) {
           return extent.outside().contains(*one);
         });
}

Result<void> check_fits(const RootOwner& root, const ChosenIds& ids) {
  if (has_outside(ids.uids, root.uid) && has_outside(ids.gids, root.gid)) return {};
  return fail({},
              concat(root.path, " belongs to ", root.uid, ":", root.gid,
                     ", which is none of the container's ids: userns-run shift gives it to them, "
                     "or --map-self makes it "
                     "its root's where it is yours"));
}

std::vector<MapWish> wishes_of(const Blocks& blocks) {
  std::vector<MapWish> wishes;
  for (const auto& extent : blocks.uids) wishes.push_back({MapWish::Which::kUid, extent});
  for (const auto& extent : blocks.gids) wishes.push_back({MapWish::Which::kGid, extent});
  return wishes;
}

Result<Blocks> shared_with(const Store& store, const std::string& name) {
  const auto other = TRY(store.find(name));
  const auto spec = TRY(other.spec());
  const auto ids = TRY(find_ids(spec));
  return Blocks{ids.uids.extents, ids.gids.extents};
}

std::uint64_t count_of(const ChosenMap& map) {
  std::uint64_t count = 0;
  for (const auto& extent : map.extents) count += extent.count();
  return count;
}

Result<void> check_unheld(const ChosenIds& ids, const Registry& registry) {
  const auto* const holder = holder_of(ids.uids.extents, ids.gids.extents, registry.holders());
  if (holder == nullptr) return {};
  return fail(
      {},
      concat("some of these ids are held by ", holder->path,
             ": leave out --map to get others, or say --share-ids if the two are to share them"));
}

// The caller's own id is no other container's, however often it is used.
bool is_own_alone(const Spec& spec) { return std::holds_alternative<MapSelf>(spec.mapping); }

// Rather those that no process has; never those of a process that is left of something.
Result<Blocks> choose_quiet_blocks(const IdFacts& facts, const Registry& registry,
                                   const BlockWish& wish) {
  const auto choose = [&](Living which) {
    auto holders = registry.holders();
    for (auto& holder : held_by_processes(facts, which)) holders.push_back(std::move(holder));
    return choose_blocks(facts, holders, wish);
  };
  if (auto quiet = choose(Living::kAny)) return quiet;
  for (int left = kTries;; --left) {
    auto chosen = choose(Living::kLeft);
    if (chosen || left == 0 || !choose_blocks(facts, registry.holders(), wish)) return chosen;
    std::this_thread::sleep_for(kPause);
  }
}

Blocks with_own_ids(Blocks blocks, const IdFacts& facts, const MapAuto& mapping) {
  ChosenIds ids;
  ids.uids.extents = std::move(blocks.uids);
  ids.gids.extents = std::move(blocks.gids);
  keep_own_ids(ids, facts, mapping);
  return {std::move(ids.uids.extents), std::move(ids.gids.extents)};
}

Result<Blocks> free_blocks(const CreateWish& wish, const MapAuto& mapping, const Registry& registry,
                           const std::optional<RootOwner>& root) {
  const auto callers = TRY(CallersIds::find());
  BlockWish block{.count = wish.id_count, .root_uid = {}, .root_gid = {}};
  if (root) block.root_uid = root->uid;
  if (root) block.root_gid = root->gid;
  auto chosen = choose_quiet_blocks(callers.facts(), registry, block);
  if (chosen) return with_own_ids(std::move(*chosen), callers.facts(), mapping);
  if (!root) return chosen;
  return fail({}, concat(root->path, ": ", chosen.error().text,
                         "; userns-run shift changes whom it belongs to"));
}

// Maps by hand are the caller's affair, as long as no other container has one of these ids.
Result<Blocks> blocks_by_hand(const CreateWish& wish, const Spec& spec, const Registry& registry) {
  if (wish.share_ids || wish.id_count)
    return fail(
        {},
        "--map and --map-self say which ids, and so do --ids and --share-ids: give one of them");
  if (is_own_alone(spec)) return Blocks{};
  const auto ids = TRY(find_ids(spec));
  TRY(check_unheld(ids, registry));
  return Blocks{ids.uids.extents, ids.gids.extents};
}

Result<std::optional<RootOwner>> adopted_root(const CreateWish& wish, const Spec& spec) {
  if (!std::holds_alternative<FromDirectory>(wish.source)) return std::nullopt;
  auto owner = TRY(owner_of(spec.rootfs));
  return owner;
}

// The container's maps, and `spec` with them. Empty where the caller's own id is the only one.
Result<Blocks> choose_blocks_for(const Store& store, const CreateWish& wish, Spec& spec,
                                 const Registry& registry) {
  const auto root = TRY(adopted_root(wish, spec));
  const bool by_hand = !std::holds_alternative<MapAuto>(spec.mapping);
  auto blocks = by_hand ? blocks_by_hand(wish, spec, registry)
                : wish.share_ids
                    ? shared_with(store, *wish.share_ids)
                    : free_blocks(wish, std::get<MapAuto>(spec.mapping), registry, root);
  if (!blocks) return blocks;
  if (!is_own_alone(spec)) spec.mapping = wishes_of(*blocks);
  const auto ids = TRY(find_ids(spec));
  if (root) TRY(check_fits(*root, ids));
  return blocks;
}

// --- the act ------------------------------------------------------------------------------------

// The registry, once nobody makes a container of that name any more and what others have left is
// deleted, so that its ids are free again. What cannot be deleted keeps them, and the next creation
// tries again.
Result<Registry> await_turn(const Store& store, const std::string& name) {
  bool swept = false;
  for (int left = kTries;; --left) {
    auto registry = Registry::lock(store);
    if (!registry) return registry;
    TRY(check_free(store, name));
    auto others = TRY(look_around(store, *registry, name));
    const bool has_litter = !others.litter.empty() && !swept;
    if (!others.being_made && !has_litter) return registry;
    if (left == 0)
      return fail({},
                  concat("the container ", name, " is being created by another process right now"));
    registry = fail({}, "");  // the others' turn
    if (has_litter)
      for (auto& litter : others.litter) (void)remove_unfinished(store, litter);
    else
      std::this_thread::sleep_for(kPause);
    swept = swept || has_litter;
  }
}

// Files of the caller's alone need be given to nobody, and an adopted tree is where it is. All else
// is unpacked into the store, for other ids.
Result<void> check_file_system(const Store& store, const CreateWish& wish, const Spec& spec) {
  if (is_own_alone(spec) || std::holds_alternative<FromDirectory>(wish.source)) return {};
  struct statfs facts{};
  if (::fstatfs(store.dir().get(), &facts) != 0)
    return fail_errno(concat("cannot use ", store.path()));
  const auto remote = remote_file_system(static_cast<std::uint64_t>(facts.f_type));
  if (remote.empty()) return {};
  return fail(
      {},
      concat(
          "no container can live in ", store.path(), ": it is on ", remote,
          ", and the server there does not let a user give files to subordinate ids; choose a "
          "directory on a local disk with --path DIR or XDG_DATA_HOME, or give the container the "
          "caller's own id alone with --map-self"));
}

// Under the registry's lock: from here on the ids are taken.
Result<Unfinished> begin(const Store& store, const CreateWish& wish, ConfigFile& config, Spec& spec,
                         Registry& registry) {
  TRY(check_file_system(store, wish, spec));
  const auto blocks = TRY(choose_blocks_for(store, wish, spec, registry));
  if (!is_own_alone(spec)) TRY(config.set("map", map_values(blocks)));
  // What it is going to stand on, before it is looked for: prune leaves it alone from here on.
  if (const auto* const image = std::get_if<FromImage>(&wish.source); image && !wish.copy)
    TRY(config.set("base-tree", std::vector{image->parts.id}));
  auto unfinished = begin_container(store, registry, wish.name);
  if (!unfinished) return unfinished;
  Result<void> done = unfinished->container.write_config(unfinished->lock, config);
  // Also under the name that it will have: so its first start finds it known, if it shares ids.
  if (done)
    done = registry.add({held_by(unfinished->container.path(), config.text()),
                         held_by(concat(store.path(), "/", wish.name), config.text())});
  if (done) return unfinished;
  (void)remove_unfinished(store, *unfinished);
  return std::unexpected(done.error());
}

Result<Fd> make_rootfs(const Container& container) {
  if (::mkdirat(container.dir().get(), "rootfs", 0700) != 0)
    return fail_errno(concat("cannot make ", container.path(), "/rootfs"));
  return open_at(container.dir().get(), "rootfs", O_RDONLY | O_DIRECTORY,
                 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

// Of one that is unpacked already, the layers may be gone.
Result<Filled> fill_from_image(const Store& store, const ImageParts& image, const ChosenIds& ids,
                               const Fd& target, const FillHow& how) {
  auto copied = TRY(fill_from_base(store, image.id, ids, target, how));
  return copied ? std::move(*copied) : fill_from_parts(ids, target, image.open, how);
}

Result<Filled> fill(const Store& store, const CreateWish& wish, const Spec& spec,
                    const Container& container, const std::optional<Other>& other) {
  const auto* const from = std::get_if<FromContainer>(&wish.source);
  if (std::holds_alternative<FromDirectory>(wish.source) || (from != nullptr && from->snapshot))
    return Filled{};
  const auto ids = TRY(find_ids(spec));
  const auto target = TRY(make_rootfs(container));
  if (const auto* const image = std::get_if<FromImage>(&wish.source))
    return fill_from_image(store, image->parts, ids, target, wish.how);
  if (const auto* const archive = std::get_if<FromArchive>(&wish.source)) {
    auto how = wish.how;
    how.looks_for_root = true;
    how.is_export = static_cast<bool>(wish.take_exported);
    how.wants_root = how.is_export || spec.command.empty();
    return fill_from_archive(ids, target, archive->path, how);
  }
  if (const auto* const debian = std::get_if<FromDebian>(&wish.source))
    return fill_from_debian(ids, target, debian->wish, wish.how);
  if (!other) return fill_from_busybox(ids, target);
  const auto layers = TRY(tree_layers(other->spec, other->ids));
  return fill_from_copy(ids, target, other->ids, layers, wish.how);
}

// --- instead of a copy --------------------------------------------------------------------------

// With fewer ids than the files may have, each of them is looked at: a copy fails if one does not
// fit, while in a tree that is shown it would be nobody's.
Result<std::string> why_too_few_ids(const Store& store, const CreateWish& wish,
                                    const std::optional<Other>& other, const ChosenIds& ids) {
  const auto* const image = std::get_if<FromImage>(&wish.source);
  const auto block =
      TRY(image == nullptr
              ? Result<BlockIds>(BlockIds{other->ids.uids.extents, other->ids.gids.extents})
              : block_of_image(store, image->parts.id));
  return has_all_of(block, ids) ? "" : "the container has fewer ids than they may belong to";
}

// The base tree for it; an empty ID, and a note, where there is to be a copy.
Result<std::string> find_tree(const Store& store, const CreateWish& wish, const Spec& spec,
                              const Container& container, const std::optional<Other>& other,
                              std::vector<std::string>& notes) {
  const auto* const image = std::get_if<FromImage>(&wish.source);
  const auto* const from = std::get_if<FromContainer>(&wish.source);
  if (wish.copy || (image == nullptr && (from == nullptr || !from->instant))) return "";
  const auto ids = TRY(find_ids(spec));
  auto why = from != nullptr ? why_not_shared(store, *other) : std::string{};
  if (why.empty()) {
    auto few = why_too_few_ids(store, wish, other, ids);
    if (!few) return few;
    why = std::move(*few);
  }
  if (why.empty() && !is_known_to_work(store))
    if (const auto can = try_idmap(container.dir(), ids); !can) why = can.error().text;
  if (!why.empty()) {
    notes.push_back(concat("the files are copied: ", why));
    return "";
  }
  if (from != nullptr) return share_tree(store, *other);
  const auto base = base_of_image(store, image->parts, wish.how);
  return base ? image->parts.id : Result<std::string>(std::unexpected(base.error()));
}

Result<Filled> facts_of_tree(const Store& store, const std::string& id) {
  const auto base = find_base(store, id);
  auto image = TRY(base ? read_image_file(*base) : std::unexpected(base.error()));
  Filled filled;
  if (image) filled.image = std::move(*image);
  return filled;
}

Result<void> try_tree(const Container& container, const ConfigFile& config) {
  const auto spec = container.spec(config);
  const auto ids = spec ? find_ids(*spec) : std::unexpected(spec.error());
  return ids ? try_changes(*spec, *ids) : std::unexpected(ids.error());
}

// Nothing where there is to be a copy. From the first moment on the config holds the base.
Result<std::optional<Filled>> stand_on_tree(const Store& store, const CreateWish& wish,
                                            ConfigFile& config, const Spec& spec,
                                            const Unfinished& unfinished,
                                            const std::optional<Other>& other,
                                            std::vector<std::string>& notes) {
  const auto& container = unfinished.container;
  const auto id = TRY(find_tree(store, wish, spec, container, other, notes));
  if (id.empty()) {
    config.unset("base-tree");
    return std::nullopt;
  }
  auto done = config.set("base-tree", std::vector{id});
  if (done) done = container.write_config(unfinished.lock, config);
  if (done && other && other->runs) done = copy_changes(*other, container, spec, wish.how);
  if (!done) return std::unexpected(done.error());
  const bool known = is_known_to_work(store);
  const auto works = known ? Result<void>{} : try_tree(container, config);
  if (works && !known) note_that_it_works(store);
  if (!works) {
    if (works.error().code == EINTR) return std::unexpected(works.error());
    notes.push_back(concat("the files are copied: ", works.error().text));
    config.unset("base-tree");
    TRY(drop_changes(container, spec));
    return std::nullopt;
  }
  auto filled = TRY(facts_of_tree(store, id));
  return filled;
}

// A snapshot is an overlay at each start; whether the kernel makes one here is known only by
// trying.
Result<void> check_snapshot(const CreateWish& wish, const ConfigFile& config,
                            const Container& container) {
  const auto* const from = std::get_if<FromContainer>(&wish.source);
  if (from == nullptr || !from->snapshot) return {};
  const auto spec = container.spec(config);
  const auto ids = TRY(spec ? find_ids(*spec) : std::unexpected(spec.error()));
  const auto works = try_changes(*spec, ids);
  if (works) return {};
  return fail({},
              concat("no snapshot can live in this place, whose file system the kernel puts no "
                     "overlay on: leave out --snapshot for a copy, or choose another --path (",
                     works.error().text, ")"),
              works.error().code);
}

// The copy is another system than what it is a copy of.
Result<void> give_identity(const std::string& name, const ConfigFile& config,
                           const Container& container, std::vector<std::string>& notes) {
  const auto spec = container.spec(config);
  const auto ids = spec ? find_ids(*spec) : std::unexpected(spec.error());
  return ids ? renew_identity(*spec, *ids, name, notes) : std::unexpected(ids.error());
}

Result<void> check_uninterrupted(const Signals& signals) {
  const auto number = signals.next();
  if (!number) return {};
  return fail({}, concat("interrupted by SIG", std::string_view(::sigabbrev_np(*number))), EINTR);
}

// One that runs stands still meanwhile.
Result<Filled> take_files(const Store& store, const CreateWish& wish, ConfigFile& config,
                          const Spec& spec, const Unfinished& unfinished,
                          const std::optional<Other>& other, std::vector<std::string>& notes) {
  std::optional<Pause> pause;
  if (other && other->runs) {
    auto begun = TRY(Pause::begin(other->container, other->lock));
    if (!begun.is_still())
      notes.push_back(concat(other->container.name(),
                             " runs, and has no cgroup by which it could be stopped for a moment: "
                             "what it changed meanwhile is copied as it was found"));
    pause.emplace(std::move(begun));
  }
  auto stands = TRY(stand_on_tree(store, wish, config, spec, unfinished, other, notes));
  return stands ? Result<Filled>(std::move(*stands))
                : fill(store, wish, spec, unfinished.container, other);
}

Result<Created> complete(const Store& store, const CreateWish& wish, ConfigFile& config,
                         const Spec& spec, const Unfinished& unfinished,
                         const std::optional<Other>& other, const Signals& signals) {
  Created created{.container = unfinished.container, .counts = {}, .notes = {}};
  TRY(check_uninterrupted(signals));
  auto filled = TRY(take_files(store, wish, config, spec, unfinished, other, created.notes));
  created.counts = filled.counts;
  const auto ids = TRY(find_ids(spec));
  TRY(check_user_fits(config, filled.image, ids));
  if (wish.take_exported) TRY(wish.take_exported(config, filled.settings, created.notes));
  if (!filled.root_place.empty() && !wish.take_exported)
    created.notes.push_back(concat("the root file system is ", quoted(filled.root_place),
                                   " in the archive; what lies beside it is left out"));
  TRY(take_image_config(config, filled.image, created.notes));
  TRY(keep_what_it_says(unfinished.container.dir(), filled.image, created.notes));
  TRY(check_snapshot(wish, config, unfinished.container));
  if (auto good = spec_of(config, concat(unfinished.container.path(), "/config")); !good)
    return fail({},
                concat("what the image or archive asks for is not possible: ", good.error().text));
  if (other) TRY(give_identity(wish.name, config, unfinished.container, created.notes));
  TRY(unfinished.container.write_config(unfinished.lock, config));
  TRY(check_uninterrupted(signals));
  TRY(finish_container(store, unfinished));
  write_event(store.dir(), {.name = wish.name, .what = std::string(event::kCreate)});
  auto container = TRY(store.find(wish.name));
  created.container = std::move(container);
  return created;
}

// Where that is not possible, somebody's own files are concerned: the message says which.
std::string what_is_left(const Store& store, Unfinished& unfinished) {
  const auto removed = remove_unfinished(store, unfinished);
  if (removed) return {};
  return concat("; what was made of it could not be deleted and is left in ",
                unfinished.container.path(), " (", removed.error().text, ")");
}

}  // namespace

Result<Created> create_container(const Store& store, const CreateWish& told) {
  auto wish = told;
  std::optional<Other> other;
  if (const auto* const from = std::get_if<FromContainer>(&wish.source)) {
    auto opened = TRY(open_other(store, *from));
    other = std::move(opened);
    const auto opened_config = TRY(other->container.config());
    auto config = TRY(begin_with(*other, wish));
    wish.config = std::move(config);
    // One that stands on a base tree has nothing that would have to be copied.
    if (!from->snapshot && base_tree_of(opened_config))
      std::get<FromContainer>(wish.source).instant = true;
    if (from->snapshot) wish.share_ids = from->name;
    if (!from->snapshot && !wish.id_count && !wish.share_ids)
      wish.id_count = count_of(other->ids.uids);
  }
  auto& config = wish.config;
  auto spec = TRY(spec_of(config, concat(store.path(), "/", wish.name, "/config")));
  TRY(check_way_to_cgroup(spec));
  if (is_own_alone(spec)) wish.share_ids.reset(), wish.id_count.reset();
  const auto signals = TRY(Signals::take({SIGINT, SIGTERM, SIGHUP, SIGQUIT}));
  const SignalsAgain again(signals);
  auto registry = await_turn(store, wish.name);
  if (!registry) return std::unexpected(registry.error());
  auto unfinished = begin(store, wish, config, spec, *registry);
  registry = fail({}, "");  // the others' turn
  if (!unfinished) return std::unexpected(unfinished.error());
  auto created = complete(store, wish, config, spec, *unfinished, other, signals);
  if (created) return created;
  return fail(created.error().rule, created.error().text + what_is_left(store, *unfinished),
              created.error().code);
}

}  // namespace userns::frontend
