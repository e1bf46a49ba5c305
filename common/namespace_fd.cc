#include "common/namespace_fd.h"

#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "common/pidfd.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

constexpr int kDeepest = 33;  // user namespaces nest no deeper

Result<Fd> open_path(const std::string& path) {
  auto fd = open_at(AT_FDCWD, path.c_str(), O_RDONLY);
  if (!fd)
    return fail("NR-TARGET",
                "no such process of the caller's, or it hides its namespaces (not dumpable): give "
                "fd:N instead");
  return fd;
}

// The number that the caller gave is borrowed: it may be that of an fd which this process opened
// itself.
Result<Fd> open_of_pidfd(int raw) {
  auto fd = open_path(concat("/proc/", pid_of_pidfd(raw).value_or(0), "/ns/net"));
  if (fd && has_ended(raw)) return fail("NR-TARGET", "the process of the pidfd has ended");
  return fd;
}

Result<bool> is_own(const Fd& fd, std::string_view kind) {
  struct stat one{}, other{};
  if (::fstat(fd.get(), &one) != 0 || ::stat(concat("/proc/self/ns/", kind).c_str(), &other) != 0)
    return fail_errno("cannot compare namespaces");
  return one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

Result<Uid> owner_of(const Fd& netns) {
  Fd user(::ioctl(netns.get(), NS_GET_USERNS));
  if (user.valid() && is_own(user, "user").value_or(false)) return Uid{0};
  for (int depth = 0; user.valid() && depth < kDeepest; ++depth) {
    Fd parent(::ioctl(user.get(), NS_GET_PARENT));
    uid_t owner = 0;
    if (parent.valid() && is_own(parent, "user").value_or(false) &&
        ::ioctl(user.get(), NS_GET_OWNER_UID, &owner) == 0)
      return Uid{owner};
    user = std::move(parent);
  }
  return fail("NR-OWNER", "the network namespace belongs to no user namespace below the caller's");
}

}  // namespace

Result<NetNamespace> open_net_namespace(const Target& target) {
  using enum Target::Kind;
  auto fd = TRY(target.kind == kFd      ? Result<Fd>(Fd(::dup(target.number)))
                : target.kind == kPidfd ? open_of_pidfd(target.number)
                                        : open_path(concat("/proc/", target.number, "/ns/net")));
  // A file system of the caller's need never say what a file is; what its name is the kernel knows.
  std::array<char, 5> name{};
  struct statfs fs{};
  if (::readlink(concat("/proc/self/fd/", fd.get()).c_str(), name.data(), name.size()) != 5 ||
      std::string_view(name.data(), name.size()) != "net:[" || ::fstatfs(fd.get(), &fs) != 0 ||
      fs.f_type != NSFS_MAGIC || ::ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET)
    return fail("NR-NETNS", "the file descriptor given is not one of a network namespace");
  const auto ours = TRY(is_own(fd, "net"));
  const auto owner = TRY(owner_of(fd));
  return NetNamespace{std::move(fd), ours, owner};
}

}  // namespace userns
