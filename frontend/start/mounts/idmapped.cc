#include "frontend/start/mounts/idmapped.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "common/config.h"
#include "frontend/run/helper.h"
#include "frontend/run/process.h"
#include "frontend/start/ids/map_helpers.h"
#include "frontend/start/mounts/source_path.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

[[noreturn]] void hold(pid_t starter) {
  // Its parent reads 0 only in a pid namespace of its own, which it has not.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::getppid() != starter) ::_exit(1);
  while (true) ::pause();
}

// A process in a user namespace of its own that does nothing, for as long as this lives.
Result<Child> start_maps_holder() {
  const pid_t starter = ::getpid();
  const auto made = TRY(clone_process(CLONE_NEWUSER));
  if (made.pid == 0) hold(starter);
  return Child(made.pid);
}

ChosenIds as_maps(const TreeIds& ids) {
  return {.uids = {.extents = ids.uids, .writer = MapWriter::kHelper},
          .gids = {.extents = ids.gids, .writer = MapWriter::kHelper}};
}

struct Pair {
  Fd ours;
  Fd theirs;
};
Result<Pair> make_pair() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return fail_errno("cannot make a socket pair");
  return Pair{Fd(ends[0]), Fd(ends[1])};
}

Result<Fd> received(const Fd& socket) {
  char byte = 0;
  iovec data{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  ssize_t got = -1;
  while ((got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)) < 0)
    if (errno != EINTR) return fail_errno("userns-idmap sent no mount");
  const cmsghdr* const head = CMSG_FIRSTHDR(&message);
  int fd = -1;
  if (got == 1 && head != nullptr && head->cmsg_type == SCM_RIGHTS &&
      head->cmsg_len == CMSG_LEN(sizeof fd))
    std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
  if (fd < 0) return fail({}, "userns-idmap sent no mount");
  return Fd(fd);
}

Result<Fd> ask_helper(const Fd& directory, pid_t holder, bool read_only) {
  auto sockets = TRY(make_pair());
  std::vector<std::string> words{"--source", concat("fd:", directory.get()),
                                 "--userns", concat(holder),
                                 "--to",     concat("fd:", sockets.theirs.get())};
  if (read_only) words.emplace_back("--read-only");
  const auto path = concat(std::string_view(kHelperDir), "/userns-idmap");
  const std::array handed{directory.get(), sockets.theirs.get()};
  auto helper = TRY(Helper::start(path.c_str(), words, nullptr, handed));
  TRY(helper.finish());
  return received(sockets.ours);
}

}  // namespace

Result<Fd> idmapped_mount(const Fd& directory, const TreeIds& ids, bool read_only) {
  const auto holder = TRY(start_maps_holder());
  TRY(map_ids(as_maps(ids), holder.pid()));
  return ask_helper(directory, holder.pid(), read_only);
}

Result<Fd> idmapped_mount(const std::string& source, const TreeIds& ids, bool read_only) {
  const auto about = [&](const Error& error) {
    return fail(error.rule, concat("cannot show ", quoted(source), " with other ids: ", error.text),
                error.code);
  };
  const auto directory = open_plain_source(source);
  if (!directory) return about(directory.error());
  struct stat facts{};
  if (::fstat(directory->get(), &facts) != 0 || !S_ISDIR(facts.st_mode))
    return about({.rule = {}, .code = 0, .text = "it is not a directory"});
  auto mount = idmapped_mount(*directory, ids, read_only);
  return mount ? std::move(mount) : about(mount.error());
}

}  // namespace userns::frontend
