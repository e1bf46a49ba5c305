#include "frontend/rootfs/pack.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/rootfs/layers.h"
#include "frontend/run/process.h"
#include "frontend/start/ids/in_map.h"
#include "policy/text.h"
#include "policy/try.h"

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
constexpr std::string_view kWhiteout = ".wh.";
// What the host's kernel keeps about a file is not the container's.
const std::vector<std::string> kOwnersInside{"--xattrs-exclude=user.overlay.*",
                                             "--xattrs-exclude=security.selinux"};
const std::vector<std::string> kCallersFiles{"--owner=0", "--group=0", "--xattrs-include=user.*"};

std::vector<std::string> words_for(const PackWhat& what, const Fd& names) {
  auto words = kAlways;
  const auto& more = what.as_callers_files ? kCallersFiles : kOwnersInside;
  words.insert(words.end(), more.begin(), more.end());
  if (names.valid())
    words.insert(words.end(), {"--verbose", concat("--index-file=/proc/self/fd/", names.get()),
                               "--quoting-style=escape"});
  if (!what.below.empty())  // not the targets of symbolic links
    words.push_back(concat("--transform=s,^[.],", what.below, ",S"));
  words.insert(words.end(), {"--", what.name == "." ? what.name : "./" + what.name});
  return words;
}

// The first of the names that tar writes down, one a line, that would be a whiteout in an image.
std::string find_whiteout(const Fd& names) {
  std::string found;
  std::string rest;
  std::array<char, 1U << 16U> piece{};
  for (ssize_t got = 1; got != 0;) {
    got = ::read(names.get(), piece.data(), piece.size());
    if (got < 0 && errno != EINTR) break;
    if (got > 0) rest.append(piece.data(), static_cast<std::size_t>(got));
    for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
      const auto line = std::string_view(rest).substr(0, end);
      const auto name = line.ends_with('/') ? line.substr(0, line.size() - 1) : line;
      if (found.empty() && name.substr(name.rfind('/') + 1).starts_with(kWhiteout)) found = name;
      rest.erase(0, end + 1);
    }
  }
  return found;
}

Result<std::string> pack_inside(std::span<const Fd> layers, const Fd& out) {
  const auto top = merged(layers);
  const auto packed =
      top ? pack_with_tar(*top, {.as_layer = true}, out) : std::unexpected(top.error());
  return packed ? Result<std::string>("") : std::unexpected(packed.error());
}

}  // namespace

Result<void> pack_with_tar(const Fd& top, const PackWhat& what, const Fd& out) {
  constexpr int kFilesChanged = 1;
  constexpr int kNotThere = 127;
  auto names = TRY(what.as_layer ? make_pipe() : Result<Pipe>(Pipe{}));
  const auto words = words_for(what, names.write);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("cannot start tar");
  if (child == 0) {
    ::signal(SIGPIPE, SIG_DFL);
    if (names.write.valid()) (void)::fcntl(names.write.get(), F_SETFD, 0);
    become_program(
        {.words = words, .output = out.get(), .errors = STDERR_FILENO, .directory = top.get()});
  }
  names.write.reset();
  const auto whiteout = what.as_layer ? find_whiteout(names.read) : std::string{};
  const int status = collect(child);
  if (!whiteout.empty())
    return fail({},
                concat(quoted(whiteout), " cannot be in an image, where a name that begins with ",
                       kWhiteout, " means a deletion: rename or delete it"));
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
      auto opened = TRY(layers_here(layers));
      here = std::move(opened);
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
