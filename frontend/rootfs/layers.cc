#include "frontend/rootfs/layers.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <string>
#include <string_view>
#include <utility>

#include "frontend/run/mount_api.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// A mount belongs to the namespace that it was opened in, so what is to be a layer is opened again
// here.
Result<Fd> again_here(const Fd& directory) {
  std::array<char, PATH_MAX> path{};
  if (::readlink(concat("/proc/self/fd/", directory.get()).c_str(), path.data(), path.size() - 1) <
      0)
    return fail_errno("cannot find the layers of the snapshot");
  if (std::string_view(path.data()) == "/") {  // attached nowhere: it is here already
    Fd same(::fcntl(directory.get(), F_DUPFD_CLOEXEC, 3));
    return same.valid() ? Result<Fd>(std::move(same)) : fail_errno("cannot use a layer");
  }
  auto tree = clone_tree(AT_FDCWD, path.data());
  struct stat was{};
  struct stat is{};
  if (!tree) return tree;
  if (::fstat(directory.get(), &was) != 0 || ::fstat(tree->get(), &is) != 0 ||
      was.st_ino != is.st_ino || was.st_dev != is.st_dev)
    return fail({}, concat(userns::quoted(path.data()), " was moved meanwhile: try again"));
  return tree;
}

}  // namespace

Result<std::vector<Fd>> layers_here(std::span<const Fd> layers) {
  std::vector<Fd> here;
  for (const auto& layer : layers) {
    auto tree = TRY(again_here(layer));
    here.push_back(std::move(tree));
  }
  return here;
}

Result<Fd> merged(std::span<const Fd> layers) {
  if (layers.size() == 1) return open_at(layers.front().get(), ".", O_RDONLY | O_DIRECTORY);
  std::string lower;
  for (const auto& layer : layers) {
    // Kernels before 6.13 take layers only from mounts that are attached.
    TRY(attach_at(layer, AT_FDCWD, "/"));
    lower += concat(lower.empty() ? "" : ":", "/proc/self/fd/", layer.get());
  }
  const auto tree =
      new_filesystem("overlay", concat("lowerdir=", lower, ",userxattr"), MOUNT_ATTR_RDONLY);
  if (!tree) return fail({}, "cannot put the layers of the snapshot together", tree.error().code);
  return open_at(tree->get(), ".", O_RDONLY | O_DIRECTORY);
}

}  // namespace userns::frontend
