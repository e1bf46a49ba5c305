#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "common/subid_source.h"
#include "frontend/cli/shift/shift.h"
#include "frontend/cli/shift/shift_run.h"
#include "frontend/cli/terminal.h"
#include "frontend/container/destroy.h"
#include "frontend/store/base_trees.h"
#include "frontend/store/state.h"
#include "frontend/store/store.h"
#include "policy/idmap.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::array kOptions{
    VerbOption{.name = "map",
               .value = "MAP",
               .help = "of a DIR; default: auto, the block of whom it is for",
               .many = true},
    VerbOption{
        .name = "for", .value = "USER", .help = "of a DIR: whose subordinate ids (root only)"},
    VerbOption{.name = "instant",
               .value = "",
               .help = "a container's files become a base tree, which others can stand on"},
    VerbOption{.name = "path", .value = "DIR", .help = "where containers are kept"},
    VerbOption{.name = "cross-mounts", .value = "", .help = "what is mounted below, too"},
    VerbOption{.name = "strict",
               .value = "",
               .help = "change nothing where an id is not one of those to shift"},
    VerbOption{.name = "dry-run", .value = "", .help = "only count, and show some"},
    VerbOption{
        .name = "jobs", .value = "N", .help = "threads; default: as many as CPUs, at most 4"},
    VerbOption{.name = "log", .value = "FILE", .help = "the undo log, instead of the place for it"},
};

// What is converted: a container, or only a directory.
struct Subject {
  std::optional<Container> container;
  std::string directory;
  ChosenIds ids;
};

Result<ChosenIds> ids_of_user(std::string_view name) {
  const passwd* const entry =
      ::getpwnam(std::string(name).c_str());  // NOLINT(concurrency-mt-unsafe): one thread
  if (entry == nullptr) return fail({}, concat("there is no user ", quoted(name)));
  const Uid uid{entry->pw_uid};
  const auto uids = TRY(find_subids(IdKind::kUid, name, uid));
  const auto gids = TRY(find_subids(IdKind::kGid, name, uid));
  return choose_ids({}, {.uid = entry->pw_uid,
                         .gid = entry->pw_gid,
                         .privileged = false,
                         .caller_name = name,
                         .uids = {.ranges = uids.owned.ranges(), .name = uids.source},
                         .gids = {.ranges = gids.owned.ranges(), .name = gids.source}});
}

Result<ChosenIds> ids_of_directory(const Words& words) {
  if (const auto user = words.one("for")) {
    if (words.one("map")) return fail({}, "--for and --map do not go together");
    if (::geteuid() != 0)
      return fail({}, "--for is root's: without it the directory becomes the caller's container's");
    return ids_of_user(*user);
  }
  if (::geteuid() == 0 && !words.one("map"))
    return fail({}, "it is not said whose container this directory is for: --for USER, or --map");
  return ids_of_map(words);
}

Result<Subject> subject_of(const Words& words) {
  if (words.has_command || words.names.size() != 1)
    return fail({},
                "convert takes one NAME of a container, or one DIR (./DIR where both are there)");
  const auto& word = words.names.front();
  const auto store =
      word.contains('/') ? Result<Store>(fail({}, "")) : Store::open(words.one("path"));
  auto container = store ? store->find(word) : Result<Container>(fail({}, ""));
  if (!container) {
    struct stat facts{};
    if (::stat(word.c_str(), &facts) != 0 && errno == ENOENT)
      return fail({}, concat("there is neither a container nor a directory ", quoted(word)));
    auto ids = TRY(ids_of_directory(words));
    return Subject{.container = std::nullopt, .directory = word, .ids = std::move(ids)};
  }
  if (words.one("map") || words.one("for"))
    return fail({}, concat("the ids of the container ", word,
                           " are those of its config: leave out --map and --for"));
  const auto spec = container->spec();
  auto ids = TRY(ids_of_spec(spec));
  return Subject{
      .container = std::move(*container), .directory = spec->rootfs, .ids = std::move(ids)};
}

// Nothing is shifted: the files are shown with the container's ids from now on.
Result<std::string> make_instant(const Subject& subject, const Lock& lock) {
  const auto& container = *subject.container;
  const auto store =
      Store::open(std::string_view(container.path()).substr(0, container.path().rfind('/')));
  const auto config = TRY(store ? container.config() : std::unexpected(store.error()));
  if (const auto snapshots = snapshots_of(*store, container.name());
      snapshots && !snapshots->empty())
    return fail({}, concat(container.name(), " has snapshots, which show its files: destroy them"));
  const auto id = seal_tree(*store, container, lock, config);
  if (!id) return id;
  return concat(container.name(), ": its files are the base tree ", *id,
                "; userns-run create NEW --from ", container.name(), " copies nothing\n");
}

// An ordinary user's files belong to that user: they become the container root's.
Result<shift::Shift> own_to_root(const ChosenIds& ids) {
  const auto piece = [](const ChosenMap& map, std::uint32_t own) {
    std::vector<Extent> pieces;
    for (const auto& extent : map.extents)
      if (extent.inside().first() == 0)
        if (const auto one = Extent::make(own, extent.outside().first(), 1)) pieces.push_back(*one);
    return pieces;
  };
  return shift::shift_of_maps(piece(ids.uids, ::geteuid()), piece(ids.gids, ::getegid()));
}

// As the option --map takes it, a value for each extent.
std::vector<std::string> map_values(const ChosenIds& ids) {
  std::vector<std::string> values;
  const bool same = ids.uids.extents == ids.gids.extents;
  const auto add = [&](const ChosenMap& map, std::string_view kind) {
    for (const auto& extent : map.extents)
      values.push_back(concat(kind, ":", extent.inside().first(), ":", extent.outside().first(),
                              ":", extent.count()));
  };
  add(ids.uids, same ? "b" : "u");
  if (!same) add(ids.gids, "g");
  return values;
}

Result<std::string> set_map(const Subject& subject, const Lock& lock) {
  auto config = TRY(subject.container->config());
  const auto values = map_values(subject.ids);
  (void)config.unset("map-self");
  TRY(config.set("map", values));
  TRY(subject.container->write_config(lock, config));
  return concat(subject.container->name(), ": its id map is in its config\n");
}

std::string how_to_use(const Subject& subject) {
  std::string text = concat("to use it: userns-run --rootfs ", quoted(subject.directory));
  for (const auto& value : map_values(subject.ids)) text += concat(" --map ", value);
  return text + "\n";
}

Result<std::string> convert(const Words& words) {
  auto wishes = TRY(common_wishes(words));
  const auto subject = TRY(subject_of(words));
  std::optional<Lock> lock;
  if (subject.container) {
    auto locked = TRY(subject.container->try_lock());
    if (!locked)
      return fail({}, concat("another verb works on the container ", subject.container->name(),
                             ": try again"));
    lock = std::move(locked);
    const auto state = read_state(subject.container->dir());
    if (state && *state)
      return fail(
          {}, concat("the container ", subject.container->name(), " is running: stop it first"));
  }
  if (words.has("instant") && !subject.container)
    return fail({}, "--instant is for a container of the store");
  if (words.has("instant")) return make_instant(subject, *lock);
  auto shift = TRY(::geteuid() == 0 ? into_container(subject.ids) : own_to_root(subject.ids));
  wishes.shift = std::move(shift);
  auto done = shift_as_caller({subject.directory}, wishes);
  if (!done || wishes.dry_run) return done;
  const auto rest = lock ? set_map(subject, *lock) : Result<std::string>(how_to_use(subject));
  if (!rest) return rest;
  return *done + *rest;
}

}  // namespace

std::span<const VerbOption> convert_options() { return kOptions; }

int convert_verb(const Words& words) {
  const auto done = convert(words);
  return done ? print(*done) : own_failure(done.error());
}

}  // namespace userns::frontend
