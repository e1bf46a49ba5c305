#include "frontend/oci/inside/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>

#include "frontend/oci/inside/copy_up.h"
#include "frontend/oci/inside/devices.h"
#include "frontend/run/mount_api.h"
#include "frontend/start/mounts/destination.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr const char* kCgroups = "/sys/fs/cgroup";

// --- what is opened outside -----------------------------------------------------------------

Result<Fd> open_path(const Fd& bundle, const std::string& path) {
  if (path.starts_with('/')) return open_at(AT_FDCWD, path.c_str(), O_PATH, RESOLVE_NO_MAGICLINKS);
  return open_at(bundle.get(), path.c_str(), O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

std::string_view why_not(const std::string& path, int code) {
  if (code == ELOOP && !path.starts_with('/'))
    return " (a relative path may not lead through a symbolic link)";
  if (code == EXDEV) return " (a relative path may not lead out of the bundle)";
  return {};
}

bool is_same(const Fd& a, const Fd& b) {
  struct stat one{}, other{};
  return ::fstat(a.get(), &one) == 0 && ::fstat(b.get(), &other) == 0 &&
         one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

Result<Fd> open_root(const OciConfig& config, const Fd& bundle) {
  const auto place = open_path(bundle, config.root);
  if (!place)
    return fail({},
                concat("cannot open root.path ", quoted(config.root),
                       why_not(config.root, place.error().code)),
                place.error().code);
  const auto top = open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  if (!top || is_same(*place, *top))
    return fail({}, concat("root.path ", quoted(config.root), " is the host's own /"));
  return clone_tree(*place);
}

Result<Fd> open_bind(const OciMount& mount, const Fd& bundle) {
  const auto place = open_path(bundle, mount.source);
  if (!place)
    return fail({},
                concat("cannot open ", quoted(mount.source), " for the mount on ",
                       quoted(mount.destination), why_not(mount.source, place.error().code)),
                place.error().code);
  if (!mount.options.bind_below)
    if (auto one = clone_mount(*place); one || one.error().code != EINVAL) return one;
  // The kernel does not show what a more privileged namespace has mounted over.
  return clone_tree(*place);
}

Result<void> open_steps(const OciConfig& config, const Fd& bundle, OciSources& sources) {
  for (const auto& mount : config.mounts) {
    auto tree = TRY(mount.options.bind ? open_bind(mount, bundle) : Result<Fd>(Fd{}));
    sources.steps.push_back(std::move(tree));
  }
  return {};
}

// --- what is mounted inside -----------------------------------------------------------------

bool is_v2() {
  struct statfs facts{};
  return ::statfs(kCgroups, &facts) == 0 && facts.f_type == CGROUP2_SUPER_MAGIC;
}

Result<Fd> hosts_own(const char* path) {
  auto shown = clone_tree(AT_FDCWD, path);
  if (shown) TRY(set_attributes(*shown, MOUNT_ATTR_RDONLY));
  return shown;
}

Result<Fd> make_cgroups(const OciConfig& config, const OciMount& mount) {
  if (is_v2() && config.has(CLONE_NEWCGROUP))
    return new_filesystem("cgroup2", mount.options.data, mount.options.set, mount.source);
  return hosts_own(kCgroups);
}

Result<Fd> make_step(const OciConfig& config, const OciMount& mount) {
  if (mount.type == "cgroup" || mount.type == "cgroup2") return make_cgroups(config, mount);
  // What is to be read only may have to be filled first.
  const auto at_once = mount.options.set & ~std::uint64_t{MOUNT_ATTR_RDONLY};
  auto tree = new_filesystem(mount.type.c_str(), mount.options.data, at_once, mount.source);
  // Of a network namespace that belongs to somebody else's user namespace there is no fresh one.
  if (!tree && mount.type == "sysfs" && tree.error().code == EPERM) return hosts_own("/sys");
  return tree;
}

// Flags that the host locked stay as they are: all that can be is set.
Result<void> set_flags(const Fd& tree, const MountChange& change) {
  if (change.set == 0 && change.clear == 0) return {};
  const auto done = change_mount(tree, change);
  if (done || done.error().code != EPERM) return done;
  constexpr std::uint64_t kTimes = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME;
  return change_mount(tree, {.set = change.set & ~kTimes, .below = change.below});
}

// A device that the engine names, or the host's /dev, which no container can have filled.
bool is_of_devices(const Fd& tree) {
  struct stat facts{}, devices{}, top{};
  if (::fstat(tree.get(), &facts) != 0) return false;
  if (S_ISCHR(facts.st_mode) || S_ISBLK(facts.st_mode)) return true;
  return ::stat("/dev", &devices) == 0 && ::stat("/", &top) == 0 && devices.st_dev != top.st_dev &&
         facts.st_dev == devices.st_dev;
}

// A node that somebody made is not a device in a container, unless "dev" says so.
std::uint64_t no_nodes(const OciMount& mount, const Fd& tree) {
  const bool wanted = (mount.options.clear & MOUNT_ATTR_NODEV) != 0 || mount.type == "devpts";
  return wanted || is_of_devices(tree) ? 0 : std::uint64_t{MOUNT_ATTR_NODEV};
}

Result<void> set_propagation(const MountOptions& options, const Fd& tree) {
  if (!options.bind && options.propagation == 0) return {};
  const bool passes_events = options.propagation == MS_SLAVE || options.propagation == MS_SHARED;
  if (!passes_events)
    if (auto done = change_mount(tree, {.propagation = MS_PRIVATE, .below = true}); !done)
      return done;
  if (options.propagation == 0) return {};
  return change_mount(tree,
                      {.propagation = options.propagation, .below = options.propagation_below});
}

Result<void> apply_options(const OciMount& mount, const Fd& tree) {
  const auto& options = mount.options;
  const MountChange top{.set = options.set | no_nodes(mount, tree), .clear = options.clear};
  if (auto done = set_flags(tree, top); !done) return done;
  if (auto done =
          set_flags(tree, {.set = options.set_below, .clear = options.clear_below, .below = true});
      !done)
    return done;
  return set_propagation(options, tree);
}

PlaceKind kind_of(const Fd& tree) {
  struct stat facts{};
  return ::fstat(tree.get(), &facts) == 0 && !S_ISDIR(facts.st_mode) ? PlaceKind::kFile
                                                                     : PlaceKind::kDirectory;
}

// What is missing is made later, and empty.
Result<void> fill(const OciMount& mount, const Fd& tree, const Fd& root) {
  const auto covered = open_at(root.get(), mount.destination.c_str(), O_RDONLY | O_DIRECTORY,
                               RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (!covered && covered.error().code == ENOENT) return {};
  if (!covered) return std::unexpected(covered.error());
  const bool has_mode = concat(",", mount.options.data).find(",mode=") != std::string::npos;
  return copy_up(*covered, tree, has_mode ? CopyTop::kNo : CopyTop::kYes);
}

Result<void> put_step(const OciConfig& config, const OciMount& mount, Fd& tree, const Fd& root) {
  if (!tree.valid()) {
    auto made = TRY(make_step(config, mount));
    tree = std::move(made);
  }
  if (mount.options.copy_up && mount.type == "tmpfs")
    if (auto copied = fill(mount, tree, root); !copied) return copied;
  const auto place = TRY(place_inside(root, mount.destination, kind_of(tree)));
  if (is_same(place, root)) return fail({}, "the root is not a place for a mount");
  if (auto done = apply_options(mount, tree); !done) return done;
  return attach(tree, place);
}

Result<void> put_steps(const OciConfig& config, OciSources& sources) {
  for (std::size_t i = 0; i < config.mounts.size(); ++i) {
    const auto& mount = config.mounts[i];
    const auto put = put_step(config, mount, sources.steps[i], sources.root);
    if (!put)
      return fail({},
                  concat("cannot mount ", mount.options.bind ? mount.source : mount.type, " on ",
                         quoted(mount.destination), " (mounts[", i, "]): ", put.error().text),
                  put.error().code);
  }
  return {};
}

// Nodes in a tree that the host's root has made would be the host's devices.
Result<void> put_root(const Fd& root) {
  if (auto set = set_attributes(root, MOUNT_ATTR_NODEV); !set) return set;
  if (auto set = change_mount(root, {.propagation = MS_PRIVATE, .below = true}); !set) return set;
  return attach_at(root, AT_FDCWD, "/");
}

// As other runtimes have it: a working directory that is missing is made.
void make_cwd(const OciConfig& config, const Fd& root) {
  if (config.process) (void)place_inside(root, config.process->cwd, PlaceKind::kDirectory);
}

}  // namespace

Result<OciSources> open_oci_sources(const OciConfig& config, const Fd& bundle) {
  OciSources sources;
  auto root = TRY(open_root(config, bundle));
  sources.root = std::move(root);
  TRY(open_steps(config, bundle, sources));
  auto devices = TRY(open_devices(config));
  sources.devices = std::move(devices);
  return sources;
}

Result<void> build_oci_mounts(const OciConfig& config, OciSources& sources, const Fd& null) {
  if (auto put = put_root(sources.root); !put) return put;
  if (auto put = put_steps(config, sources); !put) return put;
  if (auto put = put_devices(config, sources); !put) return put;
  make_cwd(config, sources.root);
  return cover_paths(config, sources.root, null);
}

Result<void> enter_oci_root(const OciConfig& config, const Fd& root) {
  if (auto entered = pivot_to(root, Fd{}); !entered) return entered;
  const auto top = TRY(open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  if (!config.root_read_only) return {};
  return change_mount(top, {.set = MOUNT_ATTR_RDONLY});
}

Result<void> set_root_propagation(const OciConfig& config) {
  if (config.propagation == 0) return {};
  const auto top = TRY(open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  return change_mount(top, {.propagation = config.propagation & ~std::uint64_t{MS_REC},
                            .below = (config.propagation & MS_REC) != 0});
}

}  // namespace userns::frontend
