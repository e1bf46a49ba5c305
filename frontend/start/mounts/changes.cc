#include "frontend/start/mounts/changes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/run/mount_api.h"
#include "frontend/start/ids/in_map.h"
#include "frontend/start/mounts/idmapped.h"
#include "frontend/start/mounts/overlay.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Made and given away, or not there. False: it was there already.
Result<bool> make_for_root(const ChosenIds& ids, const Fd& parent, const char* name, mode_t mode) {
  if (::mkdirat(parent.get(), name, 0700) != 0) {
    if (errno == EEXIST) return false;
    return fail_errno("cannot make a directory in it");
  }
  const auto made = open_at(parent.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  auto given = made ? Result<void>{} : std::unexpected(made.error());
  if (given && ::fchmod(made->get(), mode) != 0)
    given = fail_errno("cannot set the mode of a directory in it");
  if (given) given = give_away(ids, *made);
  if (given) return true;
  (void)::unlinkat(parent.get(), name, AT_REMOVEDIR);
  return std::unexpected(given.error());
}

}  // namespace

Result<void> prepare_changes(const Plan& plan) {
  if (plan.spec.changes.empty()) return {};
  const auto about = [&](const Error& error) {
    return fail({}, concat("cannot keep changes in ", quoted(plan.spec.changes), ": ", error.text),
                error.code);
  };
  const auto parent = open_at(AT_FDCWD, plan.spec.changes.c_str(), O_RDONLY | O_DIRECTORY);
  if (!parent)
    return fail({}, concat("cannot keep changes in ", quoted(plan.spec.changes)),
                parent.error().code);
  // The merged root shows the upper layer's mode.
  struct stat lower{};
  const auto& top = plan.spec.layers.empty() ? plan.spec.rootfs : plan.spec.layers.front();
  if (::stat(top.c_str(), &lower) != 0)
    return fail_errno(concat("cannot use ", quoted(top), " as a root file system"));
  const auto work = make_for_root(plan.ids, *parent, "work", 0700);
  if (!work) return about(work.error());
  const auto upper = make_for_root(plan.ids, *parent, "upper", lower.st_mode & 07777U);
  if (upper) return {};
  if (*work) (void)::unlinkat(parent->get(), "work", AT_REMOVEDIR);
  return about(upper.error());
}

namespace {

std::vector<std::string> paths_of(const Spec& spec) {
  auto paths = spec.layers;
  paths.push_back(spec.rootfs);
  return paths;
}

// Those that have other ids, made as the start makes them; not valid for the others.
Result<std::vector<Fd>> idmapped_layers(const Spec& spec, const ChosenIds& ids) {
  const auto paths = paths_of(spec);
  std::vector<Fd> trees(paths.size());
  for (std::size_t i = 0; i < spec.layer_blocks.size(); ++i) {
    if (spec.layer_blocks[i].uids.empty()) continue;
    const auto shown = TRY(block_as(spec.layer_blocks[i], ids));
    if (!shown) continue;
    auto tree = TRY(idmapped_mount(paths.at(i), *shown, true));
    trees.at(i) = std::move(tree);
  }
  return trees;
}

Result<Layers> open_layers(const Spec& spec, std::vector<Fd>& idmapped) {
  Layers layers;
  const auto paths = paths_of(spec);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    auto layer =
        TRY(idmapped[i].valid() ? std::move(idmapped[i]) : clone_tree(AT_FDCWD, paths[i].c_str()));
    layers.push_back(std::move(layer));
  }
  return layers;
}

}  // namespace

Result<std::string> work_on_changes(const Spec& spec, const ChosenIds& ids,
                                    const std::function<Result<std::string>(const Fd& tree)>& act) {
  TRY(prepare_changes({.spec = spec, .ids = ids}));
  auto idmapped = TRY(idmapped_layers(spec, ids));
  Layers layers;
  Changes changes;
  InMap in{.on_progress = {}, .on_open = {}, .mount_namespace = true, .prepare = {}};
  in.prepare = [&]() -> Result<void> {
    auto lower = open_layers(spec, idmapped);
    auto upper = TRY(lower ? open_changes(spec.changes) : std::unexpected(lower.error()));
    layers = std::move(*lower);
    changes = std::move(upper);
    return {};
  };
  return in_map(
      ids,
      [&](const Outside&) -> Result<std::string> {
        const auto tree = overlay_kept(layers, changes);
        return tree ? act(*tree) : std::unexpected(tree.error());
      },
      in);
}

Result<std::string> work_on_tree(const Spec& spec, const ChosenIds& ids,
                                 const std::function<Result<std::string>(const Fd& tree)>& act) {
  if (!spec.changes.empty()) return work_on_changes(spec, ids, act);
  const auto root = open_at(AT_FDCWD, spec.rootfs.c_str(), O_PATH | O_DIRECTORY);
  if (!root) return fail({}, concat("cannot open ", quoted(spec.rootfs)), root.error().code);
  return in_map(ids, [&](const Outside&) { return act(*root); });
}

Result<void> try_changes(const Spec& spec, const ChosenIds& ids) {
  if (spec.changes.empty()) return {};
  const auto tried = work_on_changes(spec, ids, [](const Fd&) { return Result<std::string>(""); });
  return tried ? Result<void>{} : std::unexpected(tried.error());
}

}  // namespace userns::frontend
