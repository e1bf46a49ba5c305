#include "common/process.h"

#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "common/pidfd.h"
#include "policy/text.h"
#include "policy/try.h"

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

// The pid of `given`, unless that is a directory of procfs: then 0.
Result<std::uint64_t> pid_of(const Fd& given) {
  struct statfs fs{};
  struct stat facts{};
  const bool is_open = ::fstatfs(given.get(), &fs) == 0 && ::fstat(given.get(), &facts) == 0;
  if (is_open && fs.f_type == PROC_SUPER_MAGIC && S_ISDIR(facts.st_mode)) return 0;
  const auto pid = is_open ? pid_of_pidfd(given.get()) : std::nullopt;
  if (!pid)
    return fail("IM-PROC",
                concat("fd:", given.get(), " is neither a /proc/PID directory nor a pidfd"));
  if (*pid != 0) return *pid;
  if (has_ended(given.get())) return gone();
  return fail("IM-PIDFD",
              concat("the process of fd:", given.get(), " is not in this pid namespace"));
}

}  // namespace

Result<Process> Process::open(const Target& target) {
  Fd given(target.kind == Target::Kind::kPid ? -1 : target.number);
  const auto pid = TRY(given.valid() ? pid_of(given) : static_cast<std::uint64_t>(target.number));
  auto directory = TRY(pid == 0 ? Result<Fd>(std::exchange(given, Fd(-1))) : open_directory(pid));
  Process process(std::move(directory), std::move(given), pid);
  TRY(process.gather());
  return process;
}

Result<void> Process::gather() {
  struct stat facts{};
  if (::fstat(directory_.get(), &facts) != 0)
    // hidepid=2 hides a process as if there were none.
    return errno == ENOENT ? gone() : fail_errno("cannot examine the target's directory");
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
  // A directory fd is bound to its process: once that is gone, so are its files.
  return pidfd_.valid() && has_ended(pidfd_.get()) ? gone() : Result<void>{};
}

}  // namespace userns
