#include "helpers/idmap/user_namespace.h"

#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <utility>

namespace userns {
namespace {

// Whether `fd` is of the user namespace that this process is in.
bool is_ours(const Fd& fd) {
  struct stat theirs{}, ours{};
  return ::fstat(fd.get(), &theirs) == 0 && ::stat("/proc/self/ns/user", &ours) == 0 &&
         theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

}  // namespace

Result<UserNamespace> user_namespace_of(const Process& process) {
  // ns/user is a magic link, so NO_SYMLINKS and NO_XDEV cannot be asked for; that the fd is of nsfs
  // is checked instead.
  const auto directory = process.open_file("ns", O_PATH | O_DIRECTORY);
  auto ns =
      directory ? open_at(directory->get(), "user", O_RDONLY) : std::unexpected(directory.error());
  if (!ns) return fail("IM-CHILD", "cannot see the target's user namespace", ns.error().code);
  struct statfs fs{};
  uid_t owner = 0;
  if (::fstatfs(ns->get(), &fs) != 0 || fs.f_type != NSFS_MAGIC ||
      ::ioctl(ns->get(), NS_GET_OWNER_UID, &owner) != 0)
    return fail("IM-PROC", "the target's user namespace is not what it seems");
  const Fd parent(::ioctl(ns->get(), NS_GET_PARENT));
  if (!parent.valid() && errno != EPERM)  // EPERM: outside of what we may see
    return fail("IM-CHILD", "cannot find the parent of the target's user namespace", errno);
  return UserNamespace{std::move(*ns), Uid{owner}, parent.valid() && is_ours(parent)};
}

}  // namespace userns
