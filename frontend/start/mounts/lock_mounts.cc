#include "frontend/start/mounts/lock_mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "common/fd.h"
#include "frontend/run/process.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr const char* kMounts = "/proc/self/ns/mnt";

// What the throw-away child is told, and what it leaves in the table of fds that it shares with us.
struct Copy {
  std::uint32_t uid;
  std::uint32_t gid;
  int first = -1;      // the mount namespace that is copied
  int mounts = -1;     // of its mount namespace
  int directory = -1;  // its working directory, in there; none if its root may not enter it
  int code = 0;        // errno of what failed
};

// Shares all memory with us, who wait: nothing but system calls. Its owner must be an id that is
// mapped, or it can't make a user namespace.
int make_copy(void* argument) {
  auto& copy = *static_cast<Copy*>(argument);
  if (::syscall(SYS_setresgid, copy.gid, copy.gid, copy.gid) != 0 ||
      ::syscall(SYS_setresuid, copy.uid, copy.uid, copy.uid) != 0 ||
      (copy.first = ::open(kMounts, O_RDONLY | O_CLOEXEC)) < 0 ||
      ::syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
      (copy.mounts = ::open(kMounts, O_RDONLY | O_CLOEXEC)) < 0)
    copy.code = errno;
  copy.directory = ::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return 0;
}

std::string_view why_not(int code) {
  if (code == ENOSPC || code == EUSERS)
    return ": a limit in /proc/sys/user (max_user_namespaces, max_mnt_namespaces) is reached";
  if (code == EPERM)
    return ": the kernel lets no user namespace be made in this one (sysctl "
           "kernel.unprivileged_userns_clone, or a security module)";
  return {};
}

// Whether nobody in the container will be able to change a mount: where no id is mapped, the exec
// takes all capabilities away.
bool has_no_root(const Plan& plan) {
  return (plan.ids.uids.extents.empty() || plan.ids.gids.extents.empty()) && !plan.spec.cap_keep;
}

Result<Copy> copy_in_a_child(const Plan& plan) {
  Copy copy{.uid = plan.setup_uid, .gid = plan.setup_gid};
  alignas(16) std::array<char, 16384> stack;  // NOLINT(*-member-init): only it writes there
  constexpr int kLikeVfork = CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD;
  const pid_t child = ::clone(make_copy, stack.data() + stack.size(), kLikeVfork, &copy);
  if (child < 0) return fail_errno("cannot start the process that locks the mounts");
  const int status = collect(child);
  if (WIFSIGNALED(status))
    return fail({},
                "the process that locks the container's mounts was killed while its file system "
                "and terminal were made");
  return copy;
}

Result<void> move_to_copy(const Fd& mounts, const Fd& directory) {
  if (::setns(mounts.get(), CLONE_NEWNS) != 0)
    return fail_errno("cannot enter the container's locked mounts");
  // A home is often closed to all but its owner, and the owner's id need not be mapped.
  const bool stays = directory.valid() && ::fchdir(directory.get()) == 0;
  if (!stays && ::chdir("/") != 0) return fail_errno("cannot enter a directory of the container's");
  if (::unshare(CLONE_NEWNS) != 0)
    return fail({}, concat("cannot take the container's locked mounts over", why_not(errno)),
                errno);
  return {};
}

}  // namespace

Result<void> lock_mounts(const Plan& plan, const Channel& channel) {
  if (has_no_root(plan)) return {};
  const auto copy = TRY(copy_in_a_child(plan));
  std::array<Message, 2> left{Message{.kind = Message::Kind::kLeft},
                              Message{.kind = Message::Kind::kLeft}};
  left[0].fd.reset(copy.first);
  left[1].fd.reset(copy.mounts);
  const Fd directory(copy.directory);
  if (copy.code != 0)
    return fail({}, concat("cannot lock the container's mounts", why_not(copy.code)), copy.code);
  for (const auto& message : left)
    if (auto sent = channel.send(message); !sent) return sent;
  return move_to_copy(left[1].fd, directory);
}

}  // namespace userns::frontend
