#include "frontend/start/mounts/overlay.h"

#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <string>
#include <string_view>

#include "frontend/run/mount_api.h"
#include "frontend/start/mounts/source_path.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::array<std::string_view, 8> kNotOfHost{".",   "..",  "proc", "sys",
                                                     "dev", "run", "tmp",  "lost+found"};

Result<Fd> attached_tmpfs() {
  auto scratch = new_filesystem("tmpfs", "mode=0755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (!scratch) return scratch;
  // Kernels before 6.13 take layers only from mounts that are attached; the pivot takes this one
  // away again.
  TRY(attach_at(*scratch, AT_FDCWD, "/"));
  return scratch;
}

// The merged directory shows the upper one's mode, so it gets the lower one's. `name` tells apart
// the overlays that share a scratch file system.
Result<void> make_upper(const Fd& lower, const Fd& scratch, const std::string& name) {
  struct stat facts{};
  if (::fstat(lower.get(), &facts) != 0 ||
      ::mkdirat(scratch.get(), concat("work-", name).c_str(), 0755) != 0 ||
      ::mkdirat(scratch.get(), concat("upper-", name).c_str(), 0755) != 0 ||
      ::fchmodat(scratch.get(), concat("upper-", name).c_str(), facts.st_mode & 07777U, 0) != 0)
    return fail_errno("cannot make the overlay's upper layer");
  return {};
}

constexpr std::string_view kFds = "/proc/self/fd/";

std::string lowerdir(const Layers& lower) {
  std::string text;
  for (const auto& layer : lower)
    text += concat(text.empty() ? "lowerdir=" : ":", kFds, layer.get());
  return text;
}

Result<void> attach_all(const Layers& layers) {
  for (const auto& layer : layers)
    if (auto put = attach_at(layer, AT_FDCWD, "/"); !put) return put;
  return {};
}

// `lower`: "lowerdir=..."; `top`: the topmost of its layers.
Result<Fd> overlay_on(const std::string& lower, const Fd& top, const Fd& scratch,
                      const std::string& name) {
  TRY(make_upper(top, scratch, name));
  const auto base = concat(kFds, scratch.get());
  return new_filesystem("overlay",
                        concat(lower, ",upperdir=", base, "/upper-", name, ",workdir=", base,
                               "/work-", name, ",userxattr"),
                        0);
}

Result<void> copy_link(const std::string& name, const Fd& root) {
  char target[PATH_MAX] = {};
  if (::readlink(concat("/", name).c_str(), target, sizeof target - 1) < 0 ||
      ::symlinkat(target, root.get(), name.c_str()) != 0)
    return fail_errno(concat("cannot copy the host's link /", name));
  return {};
}

Result<Fd> overlay_or_read_only(const std::string& name, const Fd& scratch) {
  const auto path = concat("/", name);
  const auto lower = TRY(open_at(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY));
  if (auto overlay = overlay_on(concat("lowerdir=", kFds, lower.get()), lower, scratch, name))
    return overlay;
  auto shown = clone_tree(AT_FDCWD, path.c_str());
  if (!shown) return shown;
  TRY(set_attributes(*shown, MOUNT_ATTR_RDONLY));
  return shown;
}

Result<void> add_directory(const std::string& name, const Fd& root, const Fd& scratch) {
  const auto tree = TRY(overlay_or_read_only(name, scratch));
  if (::mkdirat(root.get(), name.c_str(), 0755) != 0)
    return fail_errno(concat("cannot make /", name));
  return attach_at(tree, root.get(), name.c_str());
}

Result<void> add_entry(const dirent& entry, const Fd& root, const Fd& scratch) {
  const std::string name = entry.d_name;
  if (std::ranges::find(kNotOfHost, name) != kNotOfHost.end()) return {};
  if (entry.d_type == DT_LNK) return copy_link(name, root);
  return entry.d_type == DT_DIR ? add_directory(name, root, scratch) : Result<void>{};
}

}  // namespace

Result<Fd> overlay_tree(const Layers& lower) {
  const auto scratch = TRY(attached_tmpfs());
  TRY(attach_all(lower));
  return overlay_on(lowerdir(lower), lower.front(), scratch, "root");
}

Result<Fd> overlay_of(const Layers& lower) {
  TRY(attach_all(lower));
  return new_filesystem("overlay", concat(lowerdir(lower), ",userxattr"), MOUNT_ATTR_RDONLY);
}

Result<Changes> open_changes(const std::string& path) {
  const auto place = open_plain_source(path);
  auto tree = TRY(place ? clone_tree(*place) : std::unexpected(place.error()));
  constexpr int kDirectory = O_PATH | O_DIRECTORY | O_NOFOLLOW;
  auto upper = TRY(open_at(tree.get(), "upper", kDirectory));
  auto work = TRY(open_at(tree.get(), "work", kDirectory));
  return Changes{.tree = std::move(tree), .upper = std::move(upper), .work = std::move(work)};
}

Result<Fd> overlay_kept(const Layers& lower, const Changes& changes) {
  auto put = attach_all(lower);
  if (put) put = attach_at(changes.tree, AT_FDCWD, "/");
  if (!put) return std::unexpected(put.error());
  return new_filesystem("overlay",
                        concat(lowerdir(lower), ",upperdir=", kFds, changes.upper.get(),
                               ",workdir=", kFds, changes.work.get(), ",userxattr"),
                        0);
}

Result<Fd> overlay_host_tree() {
  const auto scratch = attached_tmpfs();
  auto root = scratch ? attached_tmpfs() : std::unexpected(scratch.error());
  if (!root) return root;
  const std::unique_ptr<DIR, int (*)(DIR*)> host(::opendir("/"), ::closedir);
  if (!host) return fail_errno("cannot read the host's /");
  while (const dirent* entry = ::readdir(host.get())) TRY(add_entry(*entry, *root, *scratch));
  return root;
}

}  // namespace userns::frontend
