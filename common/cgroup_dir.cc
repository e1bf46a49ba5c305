#include "common/cgroup_dir.h"

#include <dirent.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "common/list_directory.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

constexpr std::size_t kLongestFile = 32UL << 20U;  // cgroup.procs with every pid there can be

// Most is root's own; users may take the right of way from root in what is theirs.
Result<Fd> open_below(const Fd& dir, const std::string& name, int flags) {
  constexpr auto kResolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  const auto open = [&] { return open_at(dir.get(), name.c_str(), flags, kResolve); };
  auto opened = open();
  if (opened || opened.error().code != EACCES) return opened;
  return with_capability({CAP_DAC_OVERRIDE}, open);
}

// So may the top of a hierarchy, which the kernel makes 0555. That it is there already is success.
bool make_below(const Fd& dir, const std::string& name, mode_t mode) {
  const auto make = [&] { return ::mkdirat(dir.get(), name.c_str(), mode); };
  if (make() == 0 || errno == EEXIST) return true;
  return errno == EACCES && (with_capability({CAP_DAC_OVERRIDE}, make) == 0 || errno == EEXIST);
}

bool still_named(const Fd& dir, const std::string& name, const Fd& opened) {
  struct stat named{}, held{};
  return ::fstatat(dir.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         ::fstat(opened.get(), &held) == 0 && named.st_ino == held.st_ino &&
         named.st_dev == held.st_dev;
}

Result<std::vector<std::string>> entries(const Fd& dir, unsigned char type) {
  auto again = TRY(open_cgroup(dir, "."));
  return names_in(std::move(again), type);
}

}  // namespace

bool is_cgroup(const Fd& dir, CgroupVersion version) {
  struct statfs facts{};
  return ::fstatfs(dir.get(), &facts) == 0 &&
         facts.f_type == (version == CgroupVersion::kV2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
}

Result<Fd> open_cgroup(const Fd& dir, const std::string& name) {
  return open_below(dir, name, O_RDONLY | O_DIRECTORY);
}

Result<Fd> make_cgroup(const Fd& dir, const std::string& name) {
  if (!make_below(dir, name, 0755)) return fail_errno(concat("cannot make cgroup ", name));
  return open_cgroup(dir, name);
}

Result<Fd> lock_cgroup(const Fd& dir, const std::string& name, bool make) {
  constexpr timespec kPause{0, 5'000'000};
  for (int tries = 1000; tries > 0; --tries) {
    // Passing through is what users need; listing and locking is root's.
    if (make && !make_below(dir, name, 0711))
      return fail_errno(concat("cannot make cgroup ", name));
    auto opened = open_cgroup(dir, name);
    if (!opened && (!make || opened.error().code != ENOENT)) return opened;
    // An administrator may have removed what we have locked.
    if (opened && ::flock(opened->get(), LOCK_EX | LOCK_NB) == 0 && still_named(dir, name, *opened))
      return opened;
    ::nanosleep(&kPause, nullptr);
  }
  return fail("CG-BUSY",
              "another userns-cgroup of this user has been at work for 5 seconds: try again");
}

Result<std::string> read_cgroup_file(const Fd& dir, const std::string& file) {
  const auto opened = open_below(dir, file, O_RDONLY);
  return opened ? read_all(*opened, kLongestFile) : std::unexpected(opened.error());
}

Result<void> write_cgroup_file(const Fd& dir, const std::string& file, std::string_view text) {
  const auto opened = open_below(dir, file, O_WRONLY);
  const auto written = opened ? write_once(*opened, text) : std::unexpected(opened.error());
  return written
             ? written
             : fail({}, concat("cannot write ", quoted(text), " to ", file), written.error().code);
}

// A thread that moves itself alone needs no lock over all processes; v2 has that only within the
// cgroups of one process.
Result<void> join_cgroup(const Fd& dir, CgroupVersion version) {
  return write_cgroup_file(dir, version == CgroupVersion::kV2 ? "cgroup.procs" : "tasks", "0");
}

Result<std::vector<std::string>> child_cgroups(const Fd& dir) { return entries(dir, DT_DIR); }
Result<std::vector<std::string>> interface_files(const Fd& dir) { return entries(dir, DT_REG); }

std::size_t count_children(const Fd& dir) {
  struct stat facts{};
  return ::fstat(dir.get(), &facts) == 0 ? facts.st_nlink - 2 : SIZE_MAX;
}

Result<void> hand_over(const Fd& dir, Uid uid, Gid gid) {
  for (const char* const name : {"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"}) {
    const auto give = [&] {
      return ::fchownat(dir.get(), name, uid.value(), gid.value(),
                        AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
    };
    if (with_capability({CAP_CHOWN, CAP_DAC_OVERRIDE}, give) != 0)
      return fail_errno("cannot hand the cgroup over");
  }
  return {};
}

Result<void> remove_cgroups(const Fd& dir, const std::string& name, int depth) {
  if (depth > 0) {
    const auto opened = open_cgroup(dir, name);
    const auto below = opened ? child_cgroups(*opened) : std::unexpected(opened.error());
    if (!below)
      return below.error().code == ENOENT ? Result<void>{} : std::unexpected(below.error());
    for (const auto& child : *below) TRY(remove_cgroups(*opened, child, depth - 1));
  }
  const auto remove = [&] { return ::unlinkat(dir.get(), name.c_str(), AT_REMOVEDIR); };
  if (with_capability({CAP_DAC_OVERRIDE}, remove) != 0 && errno != ENOENT)
    return fail_errno(concat("cannot remove cgroup ", name));
  return {};
}

}  // namespace userns
