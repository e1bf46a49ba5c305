#include "common/process.h"

#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <utility>

#include "policy/proc_status.h"
#include "policy/text.h"

namespace userns {
namespace {

constexpr std::size_t kLargestProcFile = 64UL << 10U;

std::unexpected<Error> gone() {
  return fail("IM-GONE", "the target process has ended: start it again and give its new id", ESRCH);
}

// ESRCH and ENOENT are how procfs says that a process is gone.
std::unexpected<Error> gone_or(std::string_view rule, std::string text, int code) {
  return code == ESRCH ? gone() : fail(rule, std::move(text), code);
}

Result<Fd> open_directory(std::uint64_t pid) {
  auto dir = open_at(AT_FDCWD, concat("/proc/", pid).c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (!dir && dir.error().code == ENOENT) return gone();
  if (!dir)
    return fail("IM-PROC", concat("cannot open the /proc directory of process ", pid),
                dir.error().code);
  return dir;
}

// The pid that a pidfd names; a refusal where the fd is something else or the process is not to be
// seen from here.
Result<std::uint64_t> pid_of_pidfd(const Fd& fd) {
  const auto info = open_at(AT_FDCWD, concat("/proc/self/fdinfo/", fd.get()).c_str(), O_RDONLY);
  const auto text = info ? read_all(*info, kLargestProcFile) : std::unexpected(info.error());
  if (!text) return fail("IM-PIDFD", "cannot read what the file descriptor is", text.error().code);
  const auto pid = proc_field(*text, "Pid");
  if (!pid)
    return fail("IM-PROC",
                concat("fd:", fd.get(), " is neither a /proc/PID directory nor a pidfd"));
  if (*pid == "-1") return gone();
  const auto number = parse_decimal(*pid);
  if (!number || *number == 0)
    return fail("IM-PIDFD",
                concat("the process of fd:", fd.get(), " is not in this pid namespace"));
  return *number;
}

}  // namespace

Result<Process> Process::open(const Target& target) {
  Fd given;
  std::uint64_t pid = 0;
  if (const auto* by_pid = std::get_if<ByPid>(&target)) {
    pid = static_cast<std::uint64_t>(by_pid->pid);
  } else {
    given = Fd(std::get<ByFd>(target).fd);
    struct statfs fs{};
    struct stat facts{};
    if (::fstatfs(given.get(), &fs) != 0 || ::fstat(given.get(), &facts) != 0)
      return fail("IM-PROC",
                  concat("fd:", given.get(), " is not an open file descriptor of the caller's"),
                  errno);
    if (fs.f_type != PROC_SUPER_MAGIC || !S_ISDIR(facts.st_mode)) {
      const auto found = pid_of_pidfd(given);
      if (!found) return std::unexpected(found.error());
      pid = *found;
    }
  }
  auto directory = pid == 0 ? Result<Fd>(Fd(given.release())) : open_directory(pid);
  if (!directory) return std::unexpected(directory.error());
  Process process(std::move(*directory), std::move(given), pid);
  if (auto gathered = process.gather(); !gathered) return std::unexpected(gathered.error());
  return process;
}

Result<void> Process::gather() {
  struct stat facts{};
  if (::fstat(directory_.get(), &facts) != 0)
    return fail_errno("cannot examine the target's directory");
  owner_ = Uid{facts.st_uid};
  group_ = Gid{facts.st_gid};
  if (pid_ != 0) return still_alive();
  // The file begins with the number.
  const auto file = open_file("stat", O_RDONLY);
  const auto text = file ? read_all(*file, kLargestProcFile) : std::unexpected(file.error());
  if (!text)
    return gone_or("IM-PROC", "the target is not the /proc directory of a process",
                   text.error().code);
  std::string_view rest = *text;
  const auto pid = parse_decimal(take_until(rest, ' '));
  if (!pid) return fail("IM-PROC", "the target is not the /proc directory of a process");
  pid_ = *pid;
  return {};
}

Result<Fd> Process::open_file(const char* name, int flags) const {
  return open_at(directory_.get(), name, flags | O_NOFOLLOW,
                 RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
}

Result<void> Process::still_alive() const {
  // A directory fd is bound to its process: once that is gone, so are its files. A pidfd becomes
  // readable.
  pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  return pidfd_.valid() && ::poll(&ended, 1, 0) != 0 ? gone() : Result<void>{};
}

}  // namespace userns
