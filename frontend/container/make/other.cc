#include "frontend/container/make/other.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>
#include <variant>

#include "frontend/container/destroy.h"
#include "frontend/container/facts.h"
#include "frontend/container/make/identity.h"
#include "frontend/container/make/instant.h"
#include "frontend/rootfs/remove.h"
#include "frontend/spec/options.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/store/base_trees.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

Result<void> check_depth(const Container& container) {
  const auto config = container.config();
  const auto bases = TRY(config ? container.bases(*config) : std::unexpected(config.error()));
  if (bases.size() < kMostBases) return {};
  return fail(
      {}, concat(container.name(), " is a snapshot and stands on ", kMostBases,
                 " others, one on the other, which is the most: leave out --snapshot for a copy"));
}

// Of one that runs, what it has changed goes on changing: that is copied.
Result<std::string> tree_of_running(const Store& store, const Other& other) {
  const auto config = other.container.config();
  const auto trees = TRY(config ? trees_of(store, *config) : std::unexpected(config.error()));
  if (!trees.empty()) return trees.front().id;
  return fail({}, concat(other.container.name(), " stands on a base tree that has no files"));
}

Result<std::string> seal(const Store& store, const Other& other) {
  const auto config = other.container.config();
  return config ? seal_tree(store, other.container, other.lock, *config)
                : Result<std::string>(std::unexpected(config.error()));
}

}  // namespace

Result<Other> open_other(const Store& store, const FromContainer& from) {
  auto container = TRY(store.find(from.name));
  auto lock = TRY(container.lock());
  const bool runs = is_running(container);
  if (runs && from.snapshot)
    return fail({}, concat(from.name,
                           " is running, and its files change under a snapshot: userns-run "
                           "stop ",
                           from.name, " first, or leave out --snapshot"));
  auto spec = TRY(container.spec());
  if (from.snapshot) TRY(check_depth(container));
  auto ids = TRY(find_ids(spec));
  return Other{std::move(container), std::move(lock), std::move(spec), std::move(ids), runs};
}

Result<ConfigFile> begin_with(const Other& other, const CreateWish& wish) {
  auto config = other.container.config();
  if (!config) return config;
  for (const auto* const key : {"map", "map-self", "base", "base-tree", "rootfs"})
    config->unset(key);
  TRY(forget_places(*config));
  for (const auto& setting : wish.config.settings()) {
    if (!may_repeat(setting.key)) config->unset(setting.key);
    TRY(config->add(setting.key, setting.value));
  }
  const bool snapshot = std::get<FromContainer>(wish.source).snapshot;
  if (snapshot) TRY(config->set("base", std::vector{other.container.name()}));
  if (std::holds_alternative<MapSelf>(other.spec.mapping))
    TRY(config->set("map-self", std::vector<std::string>{"yes"}));
  return config;
}

std::string why_not_shared(const Store& store, const Other& other) {
  const auto config = other.container.config();
  if (!config) return config.error().text;
  auto why = why_not_shared(store, other.container, *config);
  return why.empty() && other.runs && !base_tree_of(*config) ? "it is running" : why;
}

Result<std::string> share_tree(const Store& store, const Other& other) {
  return other.runs ? tree_of_running(store, other) : seal(store, other);
}

Result<void> copy_changes(const Other& other, const Container& container, const Spec& spec,
                          const FillHow& how) {
  const Fd from(::openat(other.container.dir().get(), "upper",
                         O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!from.valid() && errno == ENOENT) return {};  // it has never been started
  if (!from.valid()) return fail_errno(concat("cannot open ", other.container.path(), "/upper"));
  if (::mkdirat(container.dir().get(), "upper", 0700) != 0)
    return fail_errno(concat("cannot make ", container.path(), "/upper"));
  const auto target = TRY(open_at(container.dir().get(), "upper", O_RDONLY | O_DIRECTORY,
                                  RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
  const auto ids = TRY(find_ids(spec));
  const auto copied = fill_from_layer(ids, target, other.ids, from, how);
  return copied ? Result<void>{} : std::unexpected(copied.error());
}

Result<void> drop_changes(const Container& container, const Spec& spec) {
  const auto ids = find_ids(spec);
  return ids ? remove_tree(*ids, container.dir(), "upper")
             : Result<void>(std::unexpected(ids.error()));
}

}  // namespace userns::frontend
