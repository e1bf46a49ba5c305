#include "frontend/start/net/net_names.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <string>
#include <string_view>
#include <variant>

#include "common/fd.h"
#include "frontend/spec/net.h"
#include "frontend/start/mounts/destination.h"
#include "frontend/run/mount_api.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestFile = 1UL << 20U;

std::string resolvers(const NetBridges& bridges) {
  std::string text;
  for (const auto& nic : bridges.nics)
    for (const auto& server : nic.dns) text += concat("nameserver ", to_text(server), "\n");
  return text.empty() ? text : concat("# of userns-run, from --net or net.conf\n", text);
}

std::string host_lines(const NetBridges& bridges, std::string_view hostname) {
  std::string text;
  if (hostname.empty()) return text;
  for (const auto& nic : bridges.nics)
    for (const auto& subnet : nic.addresses)
      text += concat(to_text(subnet.address), " ", hostname, "\n");
  return text;
}

// The container's own file may be anything: no link leads out, only a regular file is read.
std::string own_text(const Fd& place) {
  struct stat facts{};
  if (::fstat(place.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return {};
  const auto file = open_at(AT_FDCWD, concat("/proc/self/fd/", place.get()).c_str(), O_RDONLY);
  return file ? read_all(*file, kLargestFile).value_or("") : std::string{};
}

Result<void> put_over(const Fd& shelf, const char* name, const Fd& place, std::string_view text) {
  const Fd file(::openat(shelf.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file.valid()) return fail_errno(concat("cannot write ", name, " for the container"));
  if (auto written = write_all(file, text); !written) return written;
  auto tree = clone_tree(shelf.get(), name);
  return tree ? attach(*tree, place) : std::unexpected(tree.error());
}

}  // namespace

Result<void> tell_names(const NetWish& net, std::string_view hostname) {
  const auto* const bridges = std::get_if<NetBridges>(&net);
  const auto servers = bridges == nullptr ? std::string{} : resolvers(*bridges);
  if (servers.empty()) return {};
  const auto root = open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  if (!root) return std::unexpected(root.error());
  const auto names = place_inside(*root, "/etc/resolv.conf", PlaceKind::kFile),
             hosts = place_inside(*root, "/etc/hosts", PlaceKind::kFile),
             where = place_inside(*root, "/run/userns", PlaceKind::kDirectory);
  // A read-only root without such files has no place for them, and no use.
  if (!names || !where) return {};
  auto shelf = new_filesystem("tmpfs", "mode=0755,size=4m", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (!shelf) return std::unexpected(shelf.error());
  if (auto put = attach(*shelf, *where); !put) return put;
  if (auto put = put_over(*shelf, "resolv.conf", *names, servers); !put) return put;
  const auto lines = host_lines(*bridges, hostname);
  if (!hosts || lines.empty()) return {};
  auto text = own_text(*hosts);
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  return put_over(*shelf, "hosts", *hosts, text + lines);
}

}  // namespace userns::frontend
