#include "frontend/store/unfinished.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "frontend/rootfs/remove.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/store/files.h"
#include "policy/cgroup_rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kNew = "new";
constexpr std::string_view kGone = "gone";

std::string fresh_name(std::string_view name, std::string_view what) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
  std::array<unsigned char, 6> random{};
  while (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    continue;
  auto text = concat(".", name, ".", what, "-");
  for (const auto byte : random) text += kLetters[byte % kLetters.size()];
  return text;
}

struct Named {
  std::string_view name;
  std::string_view what;
};

// ".web.new-abcdef"
std::optional<Named> take_apart(std::string_view directory) {
  if (!directory.starts_with('.')) return std::nullopt;
  directory.remove_prefix(1);
  Named named;
  named.name = take_until(directory, '.');
  named.what = take_until(directory, '-');
  const bool good = ContainerName::parse(named.name) &&
                    (named.what == kNew || named.what == kGone) && directory.size() == 6;
  return good ? std::optional(named) : std::nullopt;
}

// What is left of ids after one was taken out.
void add_without(std::vector<MapWish>& wishes, MapWish::Which which, const IdRange& range,
                 std::uint64_t own, std::uint64_t& inside) {
  const auto add = [&](std::uint64_t first, std::uint64_t end) {
    const auto extent = first < end ? Extent::make(inside, first, end - first) : std::nullopt;
    if (!extent) return;
    wishes.push_back({.which = which, .extent = *extent});
    inside += end - first;
  };
  const bool has_own = own >= range.first() && own < range.end();
  add(range.first(), has_own ? own : range.end());
  if (has_own) add(own + 1, range.end());
}

void add_all(std::vector<MapWish>& wishes, MapWish::Which which, const std::vector<IdRange>& ranges,
             std::uint64_t own) {
  if (const auto self = Extent::make(0, own, 1))
    wishes.push_back({.which = which, .extent = *self});
  std::uint64_t inside = 1;
  for (const auto& range : ranges) add_without(wishes, which, range, own, inside);
}

// Of one whose config is gone or damaged, and that the index does not know: all that the caller
// has.
Result<Holder> all_of_the_callers() {
  const auto callers = TRY(CallersIds::find());
  const auto facts = callers.facts();
  return Holder{.path = {},
                .uids = {facts.uids.ranges.begin(), facts.uids.ranges.end()},
                .gids = {facts.gids.ranges.begin(), facts.gids.ranges.end()}};
}

Result<ChosenIds> ids_of(const Container& container) {
  auto holder = held_in(container);
  const auto text = read_file_at(container.dir().get(), "config", kLargestConfig);
  const bool is_own_alone = text && text->contains("map-self");
  if (holder.uids.empty() && holder.gids.empty() && !is_own_alone) {
    auto all = TRY(all_of_the_callers());
    holder = std::move(all);
  }
  return ids_to_delete_with(holder);
}

Result<void> remove_entry(const Unfinished& unfinished, const std::string& name,
                          std::optional<ChosenIds>& ids) {
  const Fd& dir = unfinished.container.dir();
  if (::unlinkat(dir.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM)
    return fail_errno(concat("cannot delete ", unfinished.container.path(), "/", name));
  if (!ids) {
    auto found = TRY(ids_of(unfinished.container));
    ids = std::move(found);
  }
  return remove_tree(*ids, dir, name);
}

// Asked with its lock held: from then on its name stays. Before, who made it may have finished it.
bool has_still_the_name(const Store& store, const Container& container,
                        const std::string& directory) {
  struct stat ours{};
  struct stat named{};
  return ::fstat(container.dir().get(), &ours) == 0 &&
         ::fstatat(store.dir().get(), directory.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

}  // namespace

Result<Unfinished> begin_container(const Store& store, const Registry& /*held*/,
                                   std::string_view name) {
  const auto directory = fresh_name(name, kNew);
  if (::mkdirat(store.dir().get(), directory.c_str(), 0700) != 0)
    return fail_errno(concat("cannot make a directory in ", store.path()));
  auto container = TRY(store.open_unfinished(name, directory));
  auto lock = container.lock();
  if (!lock) {
    ::unlinkat(store.dir().get(), directory.c_str(), AT_REMOVEDIR);
    return std::unexpected(lock.error());
  }
  return Unfinished{std::move(container), directory, std::move(*lock)};
}

Result<void> finish_container(const Store& store, const Unfinished& unfinished) {
  const auto& name = unfinished.container.name();
  ::fsync(unfinished.container.dir().get());
  const int dir = store.dir().get();
  if (rename_to_free_name(dir, unfinished.directory.c_str(), dir, name.c_str()) == 0) {
    ::fsync(store.dir().get());
    return {};
  }
  if (errno == EEXIST)
    return fail({}, concat("there is a container ", name, " in ", store.path(), " by now"));
  return fail_errno(concat("cannot give ", store.path(), "/", unfinished.directory, " its name"));
}

Result<Unfinished> end_container(const Store& store, const Container& container, Lock lock) {
  return take_away(store, container, container.name(), std::move(lock));
}

Result<Unfinished> take_away(const Store& store, const Container& container,
                             const std::string& named, Lock lock) {
  // Known before it is one no longer: else it could be neither deleted nor used.
  (void)TRY(ids_of(container));
  const auto directory = fresh_name(container.name(), kGone);
  const int dir = store.dir().get();
  if (rename_to_free_name(dir, named.c_str(), dir, directory.c_str()) != 0)
    return fail_errno(concat("cannot take ", container.path(), " out of the way"));
  auto moved = TRY(store.open_unfinished(container.name(), directory));
  return Unfinished{std::move(moved), directory, std::move(lock)};
}

Result<Others> look_around(const Store& store, const Registry& /*held*/, std::string_view name) {
  const auto directories = TRY(store.directories());
  Others others;
  for (const auto& directory : directories) {
    const auto named = take_apart(directory);
    auto container =
        named ? store.open_unfinished(named->name, directory) : std::unexpected(Error{});
    auto lock = container ? container->try_lock() : std::unexpected(Error{});
    if (!lock) continue;  // no such thing, swept by another, or not ours to sweep
    if (*lock) {
      if (has_still_the_name(store, *container, directory))
        others.litter.push_back({std::move(*container), directory, std::move(**lock)});
    } else if (named->name == name && named->what == kNew) {
      others.being_made = true;
    }
  }
  return others;
}

Result<void> remove_unfinished(const Store& store, Unfinished& unfinished) {
  const auto entries = TRY(list_directory(unfinished.container.dir()));
  // The config is the last but the lock: it says with whose rights the rest can be deleted.
  std::optional<ChosenIds> ids;
  for (const auto& name : entries)
    if (name != "config" && name != "lock")
      if (auto removed = remove_entry(unfinished, name, ids); !removed) return removed;
  for (const char* const name : {"config", "lock"})
    ::unlinkat(unfinished.container.dir().get(), name, 0);
  const auto remove = [&] {
    return ::unlinkat(store.dir().get(), unfinished.directory.c_str(), AT_REMOVEDIR) == 0 ||
           errno == ENOENT;
  };
  if (remove()) return {};
  unfinished.lock.leave();
  if (remove()) return {};
  return fail_errno(concat("cannot delete ", unfinished.container.path()));
}

Result<ChosenIds> ids_to_delete_with(const Holder& holder) {
  std::vector<MapWish> wishes;
  add_all(wishes, MapWish::Which::kUid, holder.uids, ::geteuid());
  add_all(wishes, MapWish::Which::kGid, holder.gids, ::getegid());
  Spec spec;
  spec.mapping = std::move(wishes);
  return find_ids(spec);
}

int rename_to_free_name(int from_dir, const char* from, int to_dir, const char* to) {
  const int done = ::renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE);
  if (done == 0 || (errno != EINVAL && errno != ENOSYS)) return done;
  // Of a file, in one step; fails for a directory, and if the file system has no hard links.
  if (::linkat(from_dir, from, to_dir, to, 0) == 0) return ::unlinkat(from_dir, from, 0);
  struct stat there{};
  if (::fstatat(to_dir, to, &there, AT_SYMLINK_NOFOLLOW) == 0) {
    errno = EEXIST;
    return -1;
  }
  if (errno != ENOENT) return -1;
  const int renamed = ::renameat(from_dir, from, to_dir, to);
  if (renamed != 0 && errno == ENOTEMPTY) errno = EEXIST;
  return renamed;
}

}  // namespace userns::frontend
