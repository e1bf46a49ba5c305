#include "frontend/oci/inside/devices.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "frontend/run/mount_api.h"
#include "frontend/start/mounts/destination.h"
#include "frontend/start/mounts/kernel_paths.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::array<std::pair<const char*, const char*>, 4> kLinks{
    {{"/proc/self/fd", "fd"},
     {"/proc/self/fd/0", "stdin"},
     {"/proc/self/fd/1", "stdout"},
     {"/proc/self/fd/2", "stderr"}}};

// The host's /dev, or a part of it, with all nodes in it.
bool shows_hosts_dev(const OciConfig& config) {
  return std::ranges::any_of(config.mounts, [](const OciMount& mount) {
    return mount.options.bind && (mount.destination == "/dev" || mount.destination == "/dev/");
  });
}

bool is_mounted(const OciConfig& config, std::string_view path) {
  return std::ranges::any_of(config.mounts,
                             [&](const OciMount& mount) { return mount.destination == path; });
}

std::unexpected<Error> no_device(const OciDevice& device, std::string_view what, int code) {
  return fail({},
              concat("cannot show the device ", quoted(device.path),
                     " (linux.devices): the host's ", what, ::major(device.number), ":",
                     ::minor(device.number), ", and a user namespace cannot make one"),
              code);
}

// The host's own node; none: one is to be made.
Result<Fd> open_listed(const OciConfig& config, const OciDevice& device) {
  if (device.type == S_IFIFO) return Fd{};
  const auto place = open_at(AT_FDCWD, device.path.c_str(), O_PATH | O_NOFOLLOW);
  struct stat facts{};
  if (place && ::fstat(place->get(), &facts) == 0 && (facts.st_mode & S_IFMT) == device.type &&
      facts.st_rdev == device.number)
    return clone_tree(*place);
  if (!config.has(CLONE_NEWUSER)) return Fd{};
  if (place) return no_device(device, "file of that name is not the device ", 0);
  return no_device(device, "/dev has no device ", place.error().code);
}

// --- nodes that are made --------------------------------------------------------------------

bool is_fifo(const Fd& dir, const char* name) {
  struct stat facts{};
  return ::fstatat(dir.get(), name, &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISFIFO(facts.st_mode);
}

// With its mode at once: chmod(2) by a name would follow a link that another container, which has
// the same directory, has put there meanwhile.
int make_with_mode(const Fd& dir, const char* name, const OciDevice& device) {
  const auto umask = ::umask(0);
  const int made = ::mknodat(dir.get(), name, device.type | device.mode, device.number);
  const int code = errno;
  ::umask(umask);
  return made == 0 ? 0 : code;
}

// A FIFO that is there is the one that is meant.
Result<void> make_node(const Fd& dir, const std::string& name, const OciDevice& device) {
  const char* const file = name.c_str();
  const int code = make_with_mode(dir, file, device);
  if (code == EEXIST && device.type == S_IFIFO && is_fifo(dir, file)) return {};
  if (code == EPERM && device.type != S_IFIFO)
    return no_device(device, "/dev does not show ", EPERM);
  if (code != 0) return fail({}, concat("cannot make the device ", quoted(device.path)), code);
  if (::fchownat(dir.get(), file, device.uid, device.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno(concat("cannot give the device ", quoted(device.path), " to uid ", device.uid,
                             " and gid ", device.gid));
  return {};
}

Result<Fd> clone_node(const Fd& files, const OciDevice& device) {
  const std::string name = "node";
  TRY(make_node(files, name, device));
  return clone_tree(files.get(), name.c_str());
}

// On a mount of its own: all others are nodev. A tree can be cloned only while it is attached:
// `place` is covered meanwhile.
Result<Fd> make_device_tree(const Fd& place, const OciDevice& device) {
  const auto before = TRY(open_at(AT_FDCWD, ".", O_PATH | O_DIRECTORY));
  const auto files =
      TRY(new_filesystem("tmpfs", "mode=0700,size=64k", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  TRY(attach(files, place));
  auto tree = clone_node(files, device);
  if (::fchdir(files.get()) != 0 || ::umount2(".", MNT_DETACH) != 0 || ::fchdir(before.get()) != 0)
    return fail_errno("cannot uncover where it was made");
  return tree;
}

Result<void> put_node(const Fd& tree, const std::string& path, const Fd& root) {
  if (!tree.valid()) return {};
  const auto place = place_inside(root, path, PlaceKind::kFile);
  const auto put = place ? attach(tree, *place) : Result<void>(std::unexpected(place.error()));
  if (put) return {};
  return fail({}, concat("cannot show the device ", quoted(path), ": ", put.error().text),
              put.error().code);
}

Result<void> make_listed(const OciDevice& device, const Fd& root) {
  const auto slash = device.path.rfind('/');
  const auto above = slash == 0 ? std::string("/") : device.path.substr(0, slash);
  const auto parent = TRY(place_inside(root, above, PlaceKind::kDirectory));
  if (device.type == S_IFIFO) return make_node(parent, device.path.substr(slash + 1), device);
  const auto tree = TRY(make_device_tree(parent, device));
  const auto place = TRY(place_inside(root, device.path, PlaceKind::kFile));
  return attach(tree, place);
}

Result<void> put_listed(const Fd& tree, const OciDevice& device, const Fd& root) {
  if (tree.valid()) return put_node(tree, device.path, root);
  return make_listed(device, root);
}

bool is_default(const std::string& path) {
  return std::ranges::find(default_devices(), path) != default_devices().end();
}

Result<void> put_links(const OciConfig& config, const Fd& root) {
  const auto dev = TRY(place_inside(root, "/dev", PlaceKind::kDirectory));
  auto links = std::vector(kLinks.begin(), kLinks.end());
  if (is_mounted(config, "/dev/pts")) links.emplace_back("pts/ptmx", "ptmx");
  for (const auto& [target, name] : links)
    if (::symlinkat(target, dev.get(), name) != 0 && errno != EEXIST && errno != EROFS &&
        errno != EACCES)
      return fail_errno(concat("cannot make /dev/", std::string_view(name)));
  return {};
}

// What is not there needs no cover: nothing. A link leads to a place of the container's, which is
// covered. What cannot be reached from here may be from inside.
Result<Fd> find_inside(const Fd& root, const std::string& path) {
  auto place = open_at(root.get(), path.c_str(), O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (place || (place.error().code != ENOENT && place.error().code != ENOTDIR)) return place;
  return Fd{};
}

Result<void> failed_on(std::string_view what, const std::string& path, const Error& error) {
  return fail({}, concat("cannot ", what, " ", quoted(path), ": ", error.text), error.code);
}

}  // namespace

const std::vector<std::string>& default_devices() {
  static const std::vector<std::string> devices{"/dev/null",   "/dev/zero",    "/dev/full",
                                                "/dev/random", "/dev/urandom", "/dev/tty"};
  return devices;
}

Result<std::vector<Fd>> open_devices(const OciConfig& config) {
  std::vector<Fd> nodes;
  const bool shown = shows_hosts_dev(config);
  for (const auto& path : default_devices()) {
    auto node = TRY(shown || is_mounted(config, path) ? Result<Fd>(Fd{})
                                                      : clone_tree(AT_FDCWD, path.c_str()));
    nodes.push_back(std::move(node));
  }
  for (const auto& device : config.devices) {
    const bool is_there = shown || is_default(device.path);
    auto node = TRY(is_there ? Result<Fd>(Fd{}) : open_listed(config, device));
    nodes.push_back(std::move(node));
  }
  return nodes;
}

Result<void> put_devices(const OciConfig& config, const OciSources& sources) {
  const auto& always = default_devices();
  for (std::size_t i = 0; i < always.size(); ++i)
    if (auto put = put_node(sources.devices[i], always[i], sources.root); !put) return put;
  if (shows_hosts_dev(config)) return {};
  for (std::size_t i = 0; i < config.devices.size(); ++i) {
    const auto& device = config.devices[i];
    if (is_default(device.path)) continue;
    auto put = put_listed(sources.devices[always.size() + i], device, sources.root);
    if (!put) return put;
  }
  return put_links(config, sources.root);
}

Result<void> cover_paths(const OciConfig& config, const Fd& root, const Fd& null) {
  for (const auto& path : config.readonly_paths) {
    const auto place = find_inside(root, path);
    const auto done = !place           ? Result<void>(std::unexpected(place.error()))
                      : place->valid() ? make_place_read_only(*place)
                                       : Result<void>{};
    if (!done) return failed_on("make read-only", path, done.error());
  }
  for (const auto& path : config.masked_paths) {
    const auto place = find_inside(root, path);
    const auto done = !place           ? Result<void>(std::unexpected(place.error()))
                      : place->valid() ? cover_place(*place, null)
                                       : Result<void>{};
    if (!done) return failed_on("cover", path, done.error());
  }
  return {};
}

}  // namespace userns::frontend
