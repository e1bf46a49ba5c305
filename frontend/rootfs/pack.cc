#include "frontend/rootfs/pack.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "frontend/rootfs/layers.h"
#include "frontend/run/argv.h"
#include "frontend/start/ids/in_map.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// What the host's kernel keeps about a file is not the container's. A hole takes no room on disk,
// however large root inside has made it, and none in the archive.
const std::vector<std::string> kWords{"tar",
                                      "--create",
                                      "--format=posix",
                                      "--numeric-owner",
                                      "--one-file-system",
                                      "--sparse",
                                      "--xattrs",
                                      "--xattrs-exclude=user.overlay.*",
                                      "--xattrs-exclude=security.selinux",
                                      "--file=-",
                                      "."};

[[noreturn]] void become_tar(const Fd& top, const Fd& out) {
  const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (::fchdir(top.get()) != 0 || ::dup2(nothing.get(), STDIN_FILENO) < 0 ||
      ::dup2(out.get(), STDOUT_FILENO) < 0)
    ::_exit(126);
  ::execvp("tar", argv_of(kWords).data());
  ::_exit(127);
}

Result<std::string> pack_inside(std::span<const Fd> layers, const Fd& out) {
  const auto top = merged(layers);
  if (!top) return std::unexpected(top.error());
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("cannot start tar");
  if (child == 0) become_tar(*top, out);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    return fail({}, "cannot find tar: install it");
  return fail({}, "tar could not pack all of the files");
}

}  // namespace

Result<void> pack_tree(const ChosenIds& ids, std::span<const Fd> layers, const Fd& out) {
  const bool several = layers.size() > 1;
  std::vector<Fd> here;
  InMap in{.on_progress = {}, .on_open = {}, .mount_namespace = several, .prepare = {}};
  if (several)
    in.prepare = [&]() -> Result<void> {
      auto opened = layers_here(layers);
      if (!opened) return std::unexpected(opened.error());
      here = std::move(*opened);
      return {};
    };
  const auto packed = in_map(
      ids,
      [&](const Outside&) {
        return pack_inside(several ? std::span<const Fd>(here) : layers, out);
      },
      in);
  return packed ? Result<void>{} : std::unexpected(packed.error());
}

}  // namespace userns::frontend
