#include "frontend/oci/inside/devices.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

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

Result<Fd> open_listed(const OciDevice& device) {
  const auto place = open_at(AT_FDCWD, device.path.c_str(), O_PATH | O_NOFOLLOW);
  struct stat facts{};
  if (place && ::fstat(place->get(), &facts) == 0 && (facts.st_mode & S_IFMT) == device.type &&
      facts.st_rdev == device.number)
    return clone_tree(*place);
  return fail(
      {},
      concat("cannot show the device ", quoted(device.path), " (linux.devices): the host's ",
             place ? "file of that name is not the device " : "/dev has no device ",
             ::major(device.number), ":", ::minor(device.number),
             ", and a user namespace cannot make one"),
      place ? 0 : place.error().code);
}

Result<void> put_node(const Fd& tree, const std::string& path, const Fd& root) {
  if (!tree.valid()) return {};
  const auto place = place_inside(root, path, PlaceKind::kFile);
  const auto put = place ? attach(tree, *place) : Result<void>(std::unexpected(place.error()));
  if (put) return {};
  return fail({}, concat("cannot show the device ", quoted(path), ": ", put.error().text),
              put.error().code);
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
    const bool is_default =
        std::ranges::find(default_devices(), device.path) != default_devices().end();
    auto node = TRY(shown || is_default ? Result<Fd>(Fd{}) : open_listed(device));
    nodes.push_back(std::move(node));
  }
  return nodes;
}

Result<void> put_devices(const OciConfig& config, const OciSources& sources) {
  const auto& always = default_devices();
  for (std::size_t i = 0; i < sources.devices.size(); ++i) {
    const auto& path = i < always.size() ? always[i] : config.devices[i - always.size()].path;
    if (auto put = put_node(sources.devices[i], path, sources.root); !put) return put;
  }
  return shows_hosts_dev(config) ? Result<void>{} : put_links(config, sources.root);
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
