#include "helpers/idmap/clone.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/capability.h"
#include "policy/try.h"

namespace userns::idmap {
namespace {

// Where the child puts the clone, in a mount namespace of its own: any directory would do, and this
// one is there where a process can be named at all.
constexpr const char* kPlace = "/proc";

constexpr unsigned kWholeTree = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;

Fd open_tree_of(int directory, const char* path, unsigned flags) {
  return Fd(static_cast<int>(::syscall(SYS_open_tree, directory, path, flags)));
}

bool set_attributes(int directory, const char* path, unsigned flags, const mount_attr& to) {
  return ::syscall(SYS_mount_setattr, directory, path, flags | AT_RECURSIVE, &to, sizeof to) == 0;
}

// In the child: the clone in a private copy of the mount namespace, where nothing is shared with
// the host's any more.
bool place_privately(const Fd& clone) {
  mount_attr unshared{};
  unshared.propagation = MS_PRIVATE;
  return ::unshare(CLONE_NEWNS) == 0 && set_attributes(AT_FDCWD, "/", 0, unshared) &&
         ::syscall(SYS_move_mount, clone.get(), "", AT_FDCWD, kPlace, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

// The child's whole life. It shares its table of fds with us, so the number is all that we need.
int lock_in_child(const Fd& clone, const Fd& answer) {
  if (!with_capability({CAP_SYS_ADMIN}, [&] { return place_privately(clone); }) ||
      ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
    return errno;
  const int locked = open_tree_of(AT_FDCWD, kPlace, kWholeTree).release();
  if (locked < 0) return errno;
  return ::write(answer.get(), &locked, sizeof locked) == sizeof locked ? 0 : errno;
}

// An unbindable mount is not cloned, and what it covers would come to light. Whether it is in this
// tree a path would tell, which its owner can change meanwhile; so none may be anywhere.
Result<void> check_all_are_cloned(const Fd& mounts) {
  constexpr std::size_t kLongest = 16UL << 20U;
  const auto text = read_all(mounts, kLongest);
  if (text && !text->contains(" unbindable - ")) return {};
  return fail("ID-CLONE",
              "a mount of this host is unbindable, or its mounts cannot be read: \"findmnt -o "
              "TARGET,PROPAGATION\" shows it, and an administrator can make it private",
              text ? 0 : text.error().code);
}

Result<Fd> lock_flags(const Fd& clone) {
  auto pipe = TRY(make_pipe());
  clone_args like_fork{};
  like_fork.flags = CLONE_FILES;
  like_fork.exit_signal = SIGCHLD;
  const auto child = static_cast<pid_t>(::syscall(SYS_clone3, &like_fork, sizeof like_fork));
  if (child == 0) ::_exit(lock_in_child(clone, pipe.write));
  int status = 0;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const bool done = child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  int locked = -1;
  if (done && ::read(pipe.read.get(), &locked, sizeof locked) == sizeof locked) return Fd(locked);
  return fail("ID-LOCK",
              "cannot lock the flags of the mount in a user namespace; see \"userns-run doctor\" "
              "for the limits on user namespaces",
              child > 0 ? WEXITSTATUS(status) : errno);
}

}  // namespace

Result<Fd> locked_clone(const TreeGrant& grant, const Fd& directory, const Fd& userns,
                        const Fd& mounts) {
  TRY(check_all_are_cloned(mounts));
  const Fd clone = with_capability({CAP_SYS_ADMIN}, [&] {
    return open_tree_of(directory.get(), "", kWholeTree | AT_EMPTY_PATH);
  });
  if (!clone.valid())
    return fail("ID-CLONE",
                "cannot clone the directory's tree: it is not in the mount namespace that this "
                "program runs in",
                errno);
  mount_attr wanted{};
  // What is mounted in the tree later would come along with flags and ids of its own.
  wanted.propagation = MS_PRIVATE;
  wanted.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NODEV;
  if (grant.read_only()) wanted.attr_set |= MOUNT_ATTR_RDONLY;
  wanted.userns_fd = static_cast<unsigned>(userns.get());
  if (!with_capability({CAP_SYS_ADMIN},
                       [&] { return set_attributes(clone.get(), "", AT_EMPTY_PATH, wanted); }))
    return fail("ID-FILESYSTEM",
                "the kernel cannot show this tree with other ids: a file system in it (FUSE, NFS, "
                "an older overlay), or a mount that has other ids already; copy the tree instead",
                errno);
  return lock_flags(clone);
}

Result<void> send_mount(const Fd& socket, const Fd& mount) {
  int domain = 0;
  socklen_t length = sizeof domain;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 || domain != AF_UNIX)
    return fail("ID-SOCKET", "the fd given with --to is not a Unix socket");
  char byte = 0;
  iovec data{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  cmsghdr* const head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  const int raw = mount.get();
  std::memcpy(CMSG_DATA(head), &raw, sizeof raw);
  if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) return {};
  return fail("ID-SOCKET", "cannot send the mount over the socket given with --to", errno);
}

}  // namespace userns::idmap
