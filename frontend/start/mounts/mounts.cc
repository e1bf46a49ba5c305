#include "frontend/start/mounts/mounts.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <utility>

#include "frontend/run/mount_api.h"
#include "frontend/start/mounts/destination.h"
#include "frontend/start/mounts/kernel_paths.h"
#include "frontend/start/mounts/overlay.h"
#include "frontend/start/mounts/source_path.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Kind = MountStep::Kind;

constexpr std::uint64_t kPlain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr std::uint64_t kForFiles = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
constexpr std::uint32_t kTtyGroup = 5;  // Debian's and everyone else's gid of tty
constexpr std::array kNodes{"null", "zero", "full", "random", "urandom", "tty"};
constexpr std::array kNestedNodes{"fuse", "net/tun"};  // where the host has them
constexpr std::array<std::pair<const char*, const char*>, 6> kLinks{{{"/proc/self/fd", "fd"},
                                                                     {"/proc/self/fd/0", "stdin"},
                                                                     {"/proc/self/fd/1", "stdout"},
                                                                     {"/proc/self/fd/2", "stderr"},
                                                                     {"pts/ptmx", "ptmx"},
                                                                     {"/proc/kcore", "core"}}};

Result<Fd> open_source(const std::string& path) {
  const auto place = open_plain_source(path);
  auto tree = place ? clone_tree(*place) : std::unexpected(place.error());
  if (tree) return tree;
  return fail({}, concat("cannot use ", quoted(path), why_unreachable(path)), tree.error().code);
}

// The tree of a step that needs no mapped id; none for the others.
Result<Fd> open_step(const MountStep& step) {
  switch (step.kind) {
    case Kind::kBind:
      return step.idmapped ? Fd{} : open_source(step.source);
    case Kind::kProc:
      return new_filesystem("proc", "", kPlain);
    case Kind::kSys:
      return new_filesystem("sysfs", "", kPlain);
    case Kind::kMqueue:
      // Taking a mount away again that found no place costs a wait for all CPUs.
      if (::access(step.destination.c_str(), F_OK) != 0) return Fd{};
      return new_filesystem("mqueue", "", kPlain);
    case Kind::kCgroup:
      return new_filesystem("cgroup2", "", kPlain);
    default:
      return Fd{};
  }
}

// A host that covers parts of its /sys (or a container that does) does not let us have a fresh one.
Result<Fd> instead_of(const MountStep& step, const Error& error) {
  if (step.kind == Kind::kSys) {
    auto shown = clone_tree(AT_FDCWD, "/sys");
    if (shown && set_attributes(*shown, MOUNT_ATTR_RDONLY)) return shown;
  }
  if (step.optional) return Fd{};
  if (step.kind == Kind::kProc && error.code == EPERM)
    return fail({},
                "cannot mount a fresh /proc: parts of the /proc here are covered (as Docker does "
                "it), and the kernel "
                "does not let a user namespace uncover them; start the outer container with "
                "--nesting, or share the pid "
                "namespace with --share pid",
                error.code);
  return std::unexpected(error);
}

Result<void> open_steps(const Plan& plan, Sources& sources) {
  sources.steps.reserve(plan.mounts.size());
  for (const auto& step : plan.mounts) {
    auto tree = open_step(step);
    if (!tree) tree = instead_of(step, tree.error());
    if (!tree) return std::unexpected(tree.error());
    sources.steps.push_back(std::move(*tree));
  }
  return {};
}

Result<void> open_nodes(const Plan& plan, Sources& sources) {
  for (const char* name : kNodes) {
    auto node = TRY(open_source(concat("/dev/", std::string_view(name))));
    sources.nodes.emplace_back(name, std::move(node));
  }
  if (!plan.spec.nesting) return {};
  for (const char* name : kNestedNodes)
    if (auto node = open_source(concat("/dev/", std::string_view(name))))
      sources.nodes.emplace_back(name, std::move(*node));
  return {};
}

std::string devpts_options(const Plan& plan) {
  return plan.ids.gids.has(kTtyGroup) ? concat("ptmxmode=0666,mode=0620,gid=", kTtyGroup)
                                      : "ptmxmode=0666,mode=0620";
}

Result<void> make_empty_file(const Fd& dir, const char* name) {
  const Fd file(::openat(dir.get(), name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
  if (!file.valid()) return fail_errno(concat("cannot make /dev/", std::string_view(name)));
  return {};
}

// `dev` is a fresh tmpfs, so its names are ours.
Result<void> mount_in_dev(const Fd& dev, const char* name, const Result<Fd>& tree) {
  if (!tree) return std::unexpected(tree.error());
  if (::mkdirat(dev.get(), name, 0755) != 0)
    return fail_errno(concat("cannot make /dev/", std::string_view(name)));
  return attach_at(*tree, dev.get(), name);
}

Result<void> fill_dev(const Plan& plan, const Fd& dev,
                      const std::vector<std::pair<const char*, Fd>>& nodes) {
  if (plan.spec.nesting && ::mkdirat(dev.get(), "net", 0755) != 0)
    return fail_errno("cannot make /dev/net");
  for (const auto& [name, node] : nodes) {
    if (auto made = make_empty_file(dev, name); !made) return made;
    if (auto bound = attach_at(node, dev.get(), name); !bound) return bound;
  }
  for (const auto& [target, name] : kLinks)
    if (::symlinkat(target, dev.get(), name) != 0)
      return fail_errno(concat("cannot make /dev/", std::string_view(name)));
  constexpr auto kNoRun = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
  if (auto pts = mount_in_dev(dev, "pts", new_filesystem("devpts", devpts_options(plan), kNoRun));
      !pts)
    return pts;
  const auto shm_options =
      concat("mode=1777", plan.spec.shm_size != 0 ? concat(",size=", plan.spec.shm_size) : "");
  if (auto shm = mount_in_dev(dev, "shm", new_filesystem("tmpfs", shm_options, kForFiles)); !shm)
    return shm;
  auto mqueue = new_filesystem("mqueue", "", kPlain);
  return mqueue ? mount_in_dev(dev, "mqueue", mqueue)
                : Result<void>{};  // not where the ipc namespace is the host's
}

// The tree of a step that had to wait for the maps.
Result<Fd> make_step(const Plan& plan, const MountStep& step) {
  switch (step.kind) {
    case Kind::kTmpfs:
      return new_filesystem("tmpfs", step.data,
                            kForFiles | (step.no_exec ? MOUNT_ATTR_NOEXEC : 0U));
    case Kind::kDev:
      return new_filesystem("tmpfs", "mode=0755", kForFiles);
    case Kind::kDevpts:
      return new_filesystem("devpts", devpts_options(plan), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    default:
      return Fd{};
  }
}

PlaceKind kind_of(const Fd& tree) {
  struct stat facts{};
  return ::fstat(tree.get(), &facts) == 0 && !S_ISDIR(facts.st_mode) ? PlaceKind::kFile
                                                                     : PlaceKind::kDirectory;
}

// A device by its own name, or what the host has in its /dev: the caller asks for devices. In any
// other directory there may be nodes that belong to an id of the container's.
bool is_of_devices(const MountStep& step, const Fd& tree, const std::optional<dev_t>& host_dev) {
  struct stat facts{};
  return step.device || (::fstat(tree.get(), &facts) == 0 && facts.st_dev == host_dev);
}

// Whether its root may take it away again: nothing is protected by it or mounted in it.
bool is_loose(const Plan& plan, std::size_t index, const Fd& root) {
  const auto& step = plan.mounts[index];
  if (step.kind != Kind::kTmpfs) return false;
  const auto inside = concat(step.destination, "/");
  return std::none_of(plan.mounts.begin() + static_cast<std::ptrdiff_t>(index) + 1,
                      plan.mounts.end(), [&](const MountStep& later) {
                        const auto place = later.resolver ? where_it_leads(root, later.destination)
                                                          : later.destination;
                        return concat(place, "/").starts_with(inside);
                      });
}

// Leaves `tree` invalid where an optional step could not be done.
Result<void> put_step(const Plan& plan, const MountStep& step, Fd& tree, const Fd& root,
                      Sources& sources) {
  if (!tree.valid()) {
    auto made = TRY(make_step(plan, step));
    tree = std::move(made);
  }
  if (!tree.valid()) return {};  // optional, and not to be had
  const auto kind = step.kind == Kind::kBind ? kind_of(tree) : PlaceKind::kDirectory;
  auto place = place_inside(root, step.destination, kind);
  if (!place && step.resolver) place = place_behind_link(root, step.destination);
  if (!place && step.resolver)
    sources.notes.push_back(concat("no name may resolve inside: ", place.error().text));
  if (!place && step.optional) tree.reset();
  if (!place) return step.optional ? Result<void>{} : std::unexpected(place.error());
  std::uint64_t attributes = step.read_only ? MOUNT_ATTR_RDONLY : 0;
  if (step.kind == Kind::kBind && !is_of_devices(step, tree, sources.host_dev))
    attributes |= MOUNT_ATTR_NODEV;
  if (attributes != 0)
    if (auto set = set_attributes(tree, attributes); !set) return set;
  const auto put = attach(tree, *place);
  if (!put && step.resolver) {
    sources.notes.push_back(concat("no name may resolve inside: ", quoted(step.destination),
                                   " there is not a file that another can be put on"));
    return {};
  }
  if (!put)
    return fail({}, concat("cannot mount on ", quoted(step.destination), " inside"),
                put.error().code);
  return step.kind == Kind::kDev ? fill_dev(plan, tree, sources.nodes) : Result<void>{};
}

// After /dev: its null is what files are covered with.
Result<void> shield(const Plan& plan, const Sources& sources) {
  const Fd& null = sources.nodes.front().second;
  for (std::size_t i = 0; i < plan.mounts.size(); ++i) {
    const auto& step = plan.mounts[i];
    if (!step.shielded || !sources.steps[i].valid()) continue;
    const auto done = step.destination == "/proc"
                          ? shield_proc(sources.steps[i], null, plan.host_root)
                          : shield_sys(sources.steps[i], null);
    if (!done)
      return fail({}, concat("cannot cover parts of ", step.destination, ": ", done.error().text),
                  done.error().code);
  }
  return {};
}

// What the root is put on: holds /proc without a cover. Nobody can reach it below the root, which
// is locked. But the kernel sees it, and so lets sandboxes inside mount a fresh /proc of theirs.
// Not valid: there is no need, or that /proc would be the host's root's to write to.
Result<Fd> base_with_proc(const Plan& plan, const Sources& sources) {
  const auto proc = std::ranges::find(plan.mounts, "/proc", &MountStep::destination);
  if (proc == plan.mounts.end() || !proc->shielded || plan.host_root) return Fd{};
  const auto& covered = sources.steps[static_cast<std::size_t>(proc - plan.mounts.begin())];
  auto whole = clone_tree(covered);
  auto base = whole ? new_filesystem("tmpfs", "mode=0700,nr_inodes=2", kPlain)
                    : Result<Fd>(std::unexpected(whole.error()));
  if (!base) return base;
  // Any place will do: the host's tree goes.
  TRY(attach_at(*base, AT_FDCWD, "/proc"));
  if (::mkdirat(base->get(), "proc", 0700) != 0)
    return fail_errno("cannot make a place for a /proc that sandboxes need");
  TRY(attach_at(*whole, base->get(), "proc"));
  return base;
}

Result<void> check_entry(const Plan& plan, const Fd& root) {
  if (::faccessat(root.get(), ".", X_OK, AT_EACCESS) == 0) return {};
  return fail({},
              concat("the container's root may not enter ", quoted(plan.spec.rootfs),
                     ": chmod o+x it, or map its owner's id with --map"),
              EACCES);
}

// Of the layers; with --changes and --overlay also what is written to.
Result<Fd> put_together(const Plan& plan, Layers layers, const Changes& changes) {
  if (plan.spec.overlay) return overlay_tree(layers);
  if (changes.tree.valid()) {
    auto overlay = overlay_kept(layers, changes);
    if (overlay) return overlay;
    return fail(
        {},
        concat("cannot keep changes in ", quoted(plan.spec.changes),
               " (upper/ and work/ must be directories of the container's root's, on a file "
               "system that keeps "
               "user attributes)"),
        overlay.error().code);
  }
  return layers.size() == 1 ? Result<Fd>(std::move(layers.front())) : overlay_of(layers);
}

// The tree that becomes /, attached on the host's / so that mounts can be put on it.
Result<Fd> put_root(const Plan& plan, Layers layers, const Changes& changes) {
  const std::uint64_t attributes =
      MOUNT_ATTR_NODEV | (plan.spec.read_only ? MOUNT_ATTR_RDONLY : 0U);
  if (plan.spec.rootfs.empty()) {
    auto root = overlay_host_tree();
    if (root) TRY(set_attributes(*root, attributes));
    return root;
  }
  auto tree = put_together(plan, std::move(layers), changes);
  if (!tree) return tree;
  // Nodes in a tree that the host's root has made, or shifted, would be the host's devices.
  TRY(set_attributes(*tree, attributes));
  if (auto put = attach_at(*tree, AT_FDCWD, "/"); !put)
    return fail({}, concat("cannot mount the root file system ", quoted(plan.spec.rootfs)),
                put.error().code);
  TRY(check_entry(plan, *tree));
  return tree;
}

// The host's own tree as the container's: no device of it can be opened but those in /dev, which is
// put over itself for that.
Result<Fd> host_root(const Plan& plan) {
  auto root = open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  auto devices = root ? clone_tree(AT_FDCWD, "/dev") : Result<Fd>(std::unexpected(root.error()));
  if (!devices && (!root || devices.error().code != ENOENT)) return devices;
  const std::uint64_t attributes = plan.spec.read_only ? MOUNT_ATTR_RDONLY : 0U;
  auto set = set_attributes(*root, attributes | MOUNT_ATTR_NODEV);
  if (set && devices && attributes != 0) set = set_attributes(*devices, attributes);
  if (set && devices) set = attach_at(*devices, AT_FDCWD, "/dev");
  return set ? std::move(root) : Result<Fd>(std::unexpected(set.error()));
}

std::optional<std::size_t> idmapped_layer(const Plan& plan, std::size_t index) {
  return index < plan.idmapped_layers.size() ? plan.idmapped_layers[index] : std::nullopt;
}

// Of the layers, then of the root file system. One that has other ids comes from the starter.
Result<Fd> open_layer(const Plan& plan, std::size_t index) {
  if (idmapped_layer(plan, index)) return Fd{};
  return open_source(index < plan.spec.layers.size() ? plan.spec.layers[index] : plan.spec.rootfs);
}

void take_idmapped_layers(const Plan& plan, Sources& sources) {
  for (std::size_t i = 0; i < sources.layers.size(); ++i)
    if (const auto which = idmapped_layer(plan, i))
      sources.layers[i] = std::move(sources.idmapped.at(*which));
}

Result<void> open_root(const Plan& plan, Sources& sources) {
  if (plan.spec.rootfs.empty()) return {};  // an overlay of the host's own tree
  auto root = TRY(open_layer(plan, plan.spec.layers.size()));
  if (root.valid() && kind_of(root) != PlaceKind::kDirectory)
    return fail({}, concat("cannot use ", quoted(plan.spec.rootfs),
                           " as a root file system: it is not a directory"));
  for (std::size_t i = 0; i < plan.spec.layers.size(); ++i) {
    auto layer = TRY(open_layer(plan, i));
    sources.layers.push_back(std::move(layer));
  }
  sources.layers.push_back(std::move(root));
  if (plan.spec.changes.empty()) return {};
  auto changes = open_changes(plan.spec.changes);
  if (!changes)
    return fail(
        {},
        concat("cannot keep changes in ", quoted(plan.spec.changes), ": ", changes.error().text),
        changes.error().code);
  sources.changes = std::move(*changes);
  return {};
}

// None where it is a directory of the root file system's, which holds anything.
std::optional<dev_t> host_dev() {
  struct stat top{}, devices{};
  if (::stat("/", &top) != 0 || ::stat("/dev", &devices) != 0 || devices.st_dev == top.st_dev)
    return std::nullopt;
  return devices.st_dev;
}

}  // namespace

Result<Sources> open_sources(const Plan& plan) {
  Sources sources;
  TRY(make_all_private());
  sources.host_dev = host_dev();
  if (plan.own_root) {
    TRY(open_root(plan, sources));
    TRY(open_nodes(plan, sources));
  }
  TRY(open_steps(plan, sources));
  return sources;
}

Result<void> build_mounts(const Plan& plan, Sources& sources) {
  take_idmapped_layers(plan, sources);
  auto root = TRY(plan.own_root ? put_root(plan, std::move(sources.layers), sources.changes)
                                : host_root(plan));
  Fd base;
  for (std::size_t i = 0; i < plan.mounts.size(); ++i) {
    if (is_loose(plan, i, root)) continue;
    if (const auto which = plan.mounts[i].idmapped)
      sources.steps[i] = std::move(sources.idmapped.at(*which));
    if (auto put = put_step(plan, plan.mounts[i], sources.steps[i], root, sources); !put)
      return put;
    if (plan.mounts[i].kind != Kind::kDev) continue;
    auto made = TRY(base_with_proc(plan, sources));
    base = std::move(made);
    if (auto shielded = shield(plan, sources); !shielded) return shielded;
  }
  if (!plan.own_root) return {};
  if (base.valid())
    if (auto put = attach(root, base); !put) return put;
  return pivot_to(root, base);
}

Result<void> add_loose_mounts(const Plan& plan) {
  const auto root = TRY(open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  for (std::size_t i = 0; i < plan.mounts.size(); ++i) {
    Fd tree;
    if (!is_loose(plan, i, root)) continue;
    Sources none;
    if (auto put = put_step(plan, plan.mounts[i], tree, root, none); !put) return put;
  }
  // systemd leaves that to who starts it in a container; services and users' containers are to see
  // what is mounted later.
  const bool shared = plan.own_root && (plan.spec.boot || plan.spec.nesting);
  return shared ? make_all_shared() : Result<void>{};
}

}  // namespace userns::frontend
