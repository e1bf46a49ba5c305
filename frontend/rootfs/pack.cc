#include "frontend/rootfs/pack.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include "frontend/rootfs/layers.h"
#include "frontend/run/argv.h"
#include "frontend/start/ids/in_map.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// A hole takes no room on disk, however large root inside has made it, and none in the archive.
const std::vector<std::string> kAlways{"tar",
                                       "--create",
                                       "--format=posix",
                                       "--sparse",
                                       "--numeric-owner",
                                       "--one-file-system",
                                       "--file=-",
                                       "--warning=no-file-ignored",
                                       "--xattrs"};
// What the host's kernel keeps about a file is not the container's.
const std::vector<std::string> kOwnersInside{"--xattrs-exclude=user.overlay.*",
                                             "--xattrs-exclude=security.selinux"};
const std::vector<std::string> kCallersFiles{"--owner=0", "--group=0", "--xattrs-include=user.*"};

std::vector<std::string> words_for(const PackWhat& what) {
  auto words = kAlways;
  const auto& more = what.as_callers_files ? kCallersFiles : kOwnersInside;
  words.insert(words.end(), more.begin(), more.end());
  if (!what.below.empty())  // not the targets of symbolic links
    words.push_back(concat("--transform=s,^[.],", what.below, ",S"));
  words.insert(words.end(), {"--", what.name == "." ? what.name : "./" + what.name});
  return words;
}

[[noreturn]] void become_tar(const Fd& top, const std::vector<std::string>& words, const Fd& out) {
  const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::signal(SIGPIPE, SIG_DFL);
  if (::fchdir(top.get()) != 0 || ::dup2(nothing.get(), STDIN_FILENO) < 0 ||
      ::dup2(out.get(), STDOUT_FILENO) < 0)
    ::_exit(126);
  ::execvp("tar", argv_of(words).data());
  ::_exit(127);
}

Result<std::string> pack_inside(std::span<const Fd> layers, const Fd& out) {
  const auto top = merged(layers);
  const auto packed = top ? pack_with_tar(*top, {}, out) : std::unexpected(top.error());
  return packed ? Result<std::string>("") : std::unexpected(packed.error());
}

}  // namespace

Result<void> pack_with_tar(const Fd& top, const PackWhat& what, const Fd& out) {
  constexpr int kFilesChanged = 1;
  constexpr int kNotThere = 127;
  const auto words = words_for(what);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("cannot start tar");
  if (child == 0) become_tar(top, words, out);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == 0 || (code == kFilesChanged && what.may_change)) return {};
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE)
    return fail({}, "nobody reads what tar writes", EPIPE);
  if (code == kNotThere) return fail({}, "cannot find tar: install it");
  return fail({}, "tar could not pack all of the files");
}

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
