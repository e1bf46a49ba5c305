#include "frontend/start/net/net_names.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <string>
#include <string_view>
#include <variant>

#include "common/fd.h"
#include "frontend/run/mount_api.h"
#include "frontend/spec/net.h"
#include "frontend/start/mounts/destination.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

std::string resolvers(const NetBridges& bridges) {
  std::string text;
  for (const auto& nic : bridges.nics)
    for (const auto& server : nic.dns) text += concat("nameserver ", to_text(server), "\n");
  return text.empty() ? text : concat("# of userns-run, from --net or net.conf\n", text);
}

Result<void> put_over(const Fd& shelf, const char* name, const Fd& place, std::string_view text) {
  const Fd file(::openat(shelf.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file.valid()) return fail_errno(concat("cannot write ", name, " for the container"));
  if (auto written = write_all(file, text); !written) return written;
  auto tree = clone_tree(shelf.get(), name);
  return tree ? attach(*tree, place) : std::unexpected(tree.error());
}

}  // namespace

Result<void> tell_names(const NetWish& net) {
  const auto* const bridges = std::get_if<NetBridges>(&net);
  const auto servers = bridges == nullptr ? std::string{} : resolvers(*bridges);
  if (servers.empty()) return {};
  const auto root = TRY(open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  const auto names = place_behind_link(root, "/etc/resolv.conf"),
             where = place_inside(root, "/run/userns", PlaceKind::kDirectory);
  // A read-only root without such a file has no place for it, and no use.
  if (!names || !where) return {};
  auto shelf =
      TRY(new_filesystem("tmpfs", "mode=0755,size=4m", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  if (auto put = attach(shelf, *where); !put) return put;
  return put_over(shelf, "resolv.conf", *names, servers);
}

}  // namespace userns::frontend
