#include "frontend/copy/tree.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "frontend/container/connection.h"
#include "frontend/container/facts.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/ids/in_map.h"
#include "frontend/start/ids/process_ids.h"
#include "frontend/start/mounts/changes.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

bool is_same(std::vector<Extent> one, std::vector<Extent> other) {
  const auto by_inside = [](const Extent& a, const Extent& b) {
    return a.inside().first() < b.inside().first();
  };
  std::ranges::sort(one, by_inside);
  std::ranges::sort(other, by_inside);
  return std::ranges::equal(one, other, [](const Extent& a, const Extent& b) {
    return a.inside() == b.inside() && a.outside() == b.outside();
  });
}

// The root directory that the container's processes have, opened from outside.
Result<Fd> root_of_running(const Container& container, const ChosenIds& ids) {
  const auto init = TRY(find_way_in(container));
  auto root = open_at(AT_FDCWD, concat("/proc/", init.pid, "/root").c_str(), O_PATH | O_DIRECTORY);
  const auto now = ids_of_process(init.pid);
  // Not another process of that number.
  if (is_dying(init.pid) || ::syscall(SYS_pidfd_send_signal, init.pidfd.get(), 0, nullptr, 0) != 0)
    return fail({}, concat(container.name(), " has just ended: try again"));
  if (!root)
    return fail({}, concat("cannot reach the files of ", container.name()), root.error().code);
  if (!now) return std::unexpected(now.error());
  if (!is_same(now->uids.extents, ids.uids.extents) ||
      !is_same(now->gids.extents, ids.gids.extents))
    return fail({}, concat(container.name(),
                           " runs with other ids than its settings say: userns-run "
                           "restart ",
                           container.name(), " first"));
  return root;
}

}  // namespace

Result<ContainerTree> ContainerTree::open(const Container& container) {
  auto spec = container.spec();
  auto ids = TRY(spec ? find_ids(*spec) : std::unexpected(spec.error()));
  auto lock = TRY(container.lock());
  ContainerTree tree(container, std::move(*spec), std::move(ids));
  if (frontend::is_running(container)) {
    auto root = TRY(root_of_running(container, tree.ids_));
    tree.root_ = std::move(root);
    return tree;
  }
  tree.lock_ = std::move(lock);
  return tree;
}

Result<std::string> ContainerTree::work(const AtRoot& act) const {
  const auto at = [&](const Fd& directory) -> Result<std::string> {
    const auto root = open_at(directory.get(), ".", O_RDONLY | O_DIRECTORY);
    return root ? act(*root) : std::unexpected(root.error());
  };
  if (!is_running()) return work_on_tree(spec_, ids_, at);
  return in_map(ids_, [&](const Outside&) { return at(root_); });
}

}  // namespace userns::frontend
