#include "common/process.h"

#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <utility>

#include "policy/proc_status.h"
#include "policy/text.h"

namespace userns {
namespace {

constexpr std::size_t kLargestProcFile = 64UL << 10U;
constexpr unsigned long long kWithinProcess = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;

std::unexpected<Error> gone() {
  return fail("IM-GONE", "the target process has ended: start it again and give its new id", ESRCH);
}

Result<Fd> open_directory(int pid) {
  auto dir = open_at(AT_FDCWD, cat("/proc/", pid).c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (!dir && dir.error().code == ENOENT) return gone();
  if (!dir) return fail("IM-PROC", cat("cannot open the /proc directory of process ", pid), dir.error().code);
  return dir;
}

Result<bool> is_procfs_directory(const Fd& fd) {
  struct statfs fs{};
  struct stat facts{};
  if (::fstatfs(fd.get(), &fs) != 0 || ::fstat(fd.get(), &facts) != 0)
    return fail("IM-PROC", cat("fd:", fd.get(), " is not an open file descriptor of the caller's"), errno);
  return fs.f_type == PROC_SUPER_MAGIC && S_ISDIR(facts.st_mode);
}

// The pid that a pidfd names; nothing where the fd is something else; fails where the process is
// not to be seen in this pid namespace.
Result<int> pid_of_pidfd(const Fd& fd) {
  const auto info = open_at(AT_FDCWD, cat("/proc/self/fdinfo/", fd.get()).c_str(), O_RDONLY);
  if (!info) return fail("IM-PIDFD", "cannot read what the file descriptor is", info.error().code);
  const auto text = read_all(*info, kLargestProcFile);
  if (!text) return fail("IM-PIDFD", "cannot read what the file descriptor is", text.error().code);
  const auto pid = proc_field(*text, "Pid");
  if (!pid) return fail("IM-PROC", cat("fd:", fd.get(), " is neither a /proc/PID directory nor a pidfd"));
  if (*pid == "-1") return gone();
  const auto number = parse_decimal(*pid);
  if (!number || *number == 0 || *number > 0x7fffffff)
    return fail("IM-PIDFD", cat("the process of fd:", fd.get(), " is not in this pid namespace"));
  return static_cast<int>(*number);
}

bool has_ended(const Fd& pidfd) {
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, 0) != 0;  // an error counts as ended
}

}  // namespace

Result<Process> Process::open(const Target& target) {
  Fd directory;
  Fd pidfd;
  if (const auto* by_pid = std::get_if<ByPid>(&target)) {
    auto opened = open_directory(by_pid->pid);
    if (!opened) return std::unexpected(opened.error());
    directory = std::move(*opened);
  } else {
    Fd given(std::get<ByFd>(target).fd);
    const auto is_directory = is_procfs_directory(given);
    if (!is_directory) return std::unexpected(is_directory.error());
    if (*is_directory) {
      directory = std::move(given);
    } else {
      const auto pid = pid_of_pidfd(given);
      if (!pid) return std::unexpected(pid.error());
      auto opened = open_directory(*pid);
      if (!opened) return std::unexpected(opened.error());
      directory = std::move(*opened);
      pidfd = std::move(given);
    }
  }
  Process process(std::move(directory), std::move(pidfd));
  if (auto gathered = process.gather(); !gathered) return std::unexpected(gathered.error());
  return process;
}

Result<void> Process::gather() {
  const auto status = open_file("status", O_RDONLY);
  if (!status && (status.error().code == ESRCH)) return gone();
  if (!status) return fail("IM-PROC", "the target is not the /proc directory of a process", status.error().code);
  const auto text = read_all(*status, kLargestProcFile);
  if (!text && text.error().code == ESRCH) return gone();
  if (!text) return fail("IM-PROC", "cannot read the target's status", text.error().code);
  // A thread's own directory (/proc/PID/task/TID) looks the same but for this.
  if (!proc_number(*text, "Pid") || proc_number(*text, "Pid") != proc_number(*text, "Tgid"))
    return fail("IM-PROC", "the target is a thread, not a process: give the process");
  const auto state = proc_field(*text, "State").value_or("Z");
  if (state.starts_with('Z') || state.starts_with('X')) return gone();
  struct stat facts{};
  if (::fstat(directory_.get(), &facts) != 0) return fail_errno("cannot examine the target's directory");
  owner_ = Uid{facts.st_uid};
  group_ = Gid{facts.st_gid};
  hidden_ = facts.st_uid == 0 && proc_number(*text, "Uid").value_or(0) != 0;
  return still_alive();
}

Result<Fd> Process::open_file(const char* name, int flags) const {
  return open_at(directory_.get(), name, flags | O_NOFOLLOW, kWithinProcess);
}

Result<void> Process::still_alive() const {
  // A directory fd is bound to its process: once that is gone, so are its files.
  if (pidfd_.valid() && has_ended(pidfd_)) return gone();
  struct stat facts{};
  if (::fstatat(directory_.get(), "stat", &facts, AT_SYMLINK_NOFOLLOW) != 0) return gone();
  return {};
}

Result<bool> in_child_user_namespace(const Process& process) {
  // ns/user is a magic link, so NO_SYMLINKS and NO_XDEV cannot be asked for; the fd that it gives
  // is checked to be of nsfs by the ioctl, which no other file answers.
  const auto directory = process.open_file("ns", O_PATH | O_DIRECTORY);
  if (!directory) return fail("IM-CHILD", "cannot see the target's namespaces", directory.error().code);
  const auto ns = open_at(directory->get(), "user", O_RDONLY);
  if (!ns) return fail("IM-CHILD", "cannot see the target's user namespace", ns.error().code);
  struct statfs fs{};
  if (::fstatfs(ns->get(), &fs) != 0 || fs.f_type != NSFS_MAGIC)
    return fail("IM-PROC", "the target's user namespace is not what it seems");
  const Fd parent(::ioctl(ns->get(), NS_GET_PARENT));
  if (!parent.valid() && errno == EPERM) return false;  // outside of what we may see
  if (!parent.valid()) return fail_errno("cannot find the parent of the target's user namespace");
  struct stat theirs{};
  struct stat ours{};
  if (::fstat(parent.get(), &theirs) != 0 || ::stat("/proc/self/ns/user", &ours) != 0)
    return fail_errno("cannot compare user namespaces");
  return theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

}  // namespace userns
