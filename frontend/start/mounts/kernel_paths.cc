#include "frontend/start/mounts/kernel_paths.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <span>
#include <utility>
#include <vector>

#include "frontend/run/mount_api.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::array kCoveredInProc{"kcore",       "keys",        "latency_stats", "timer_list",
                                    "timer_stats", "sched_debug", "acpi",          "scsi"};
constexpr std::array kReadOnlyInProc{"bus", "fs", "irq", "sysrq-trigger"};
// Of those in /proc/sys: what runs programs as the host's root, and directories that hold nothing
// of a namespace's.
constexpr std::array kReadOnlyInSysctl{"sys/abi",
                                       "sys/debug",
                                       "sys/dev",
                                       "sys/vm",
                                       "sys/kernel/core_pattern",
                                       "sys/kernel/hotplug",
                                       "sys/kernel/modprobe",
                                       "sys/kernel/poweroff_cmd",
                                       "sys/kernel/sysrq",
                                       "sys/kernel/usermodehelper"};
constexpr std::array kAllSysctls{"sys"};
// Of namespaces that the container has of its own; where it has not, the kernel refuses.
constexpr std::array kWritableInProc{
    "sys/net",           "sys/user",          "sys/fs/mqueue",
    "sys/kernel/shmmax", "sys/kernel/shmall", "sys/kernel/shmmni",
    "sys/kernel/msgmax", "sys/kernel/sem",    "sys/kernel/shm_rmid_forced",
    "sys/kernel/msgmnb", "sys/kernel/msgmni"};
constexpr std::array kCoveredInSys{"firmware", "devices/virtual/powercap"};

bool is_directory(const Fd& place) {
  struct stat facts{};
  return ::fstat(place.get(), &facts) == 0 && S_ISDIR(facts.st_mode);
}

// An empty directory that nothing can be put into.
Result<Fd> nothing() {
  constexpr auto kClosed =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  return new_filesystem("tmpfs", "mode=0555,nr_inodes=1", kClosed);
}

}  // namespace

Result<void> cover_place(const Fd& place, const Fd& null) {
  const auto tree = is_directory(place) ? nothing() : clone_tree(null);
  return tree ? attach(*tree, place) : Result<void>(std::unexpected(tree.error()));
}

Result<void> make_place_read_only(const Fd& place) {
  const auto tree = TRY(clone_tree(place));
  if (auto set = set_attributes(tree, MOUNT_ATTR_RDONLY); !set) return set;
  return attach(tree, place);
}

namespace {

// No value: it is not there, or may not be looked at, and so needs no cover.
Fd place_of(const Fd& top, const char* name) {
  auto place = open_at(top.get(), name, O_PATH | O_NOFOLLOW);
  return place ? std::move(*place) : Fd{};
}

Result<void> cover(const Fd& top, const Fd& null, std::span<const char* const> names) {
  for (const char* name : names)
    if (const auto place = place_of(top, name); place.valid())
      if (auto covered = cover_place(place, null); !covered) return covered;
  return {};
}

Result<void> make_read_only(const Fd& top, std::span<const char* const> names) {
  for (const char* name : names)
    if (const auto place = place_of(top, name); place.valid())
      if (auto made = make_place_read_only(place); !made) return made;
  return {};
}

// All of /proc/sys but what is the container's own.
Result<void> shield_sysctls(const Fd& proc) {
  std::vector<std::pair<const char*, Fd>> writable;
  writable.reserve(kWritableInProc.size());
  for (const char* name : kWritableInProc) {
    const auto place = place_of(proc, name);
    if (!place.valid()) continue;
    auto tree = TRY(clone_tree(place));
    writable.emplace_back(name, std::move(tree));
  }
  if (auto made = make_read_only(proc, kAllSysctls); !made) return made;
  for (const auto& [name, tree] : writable)
    if (auto put = attach_at(tree, proc.get(), name); !put) return put;
  return {};
}

}  // namespace

Result<void> shield_proc(const Fd& proc, const Fd& null, bool host_root) {
  if (auto covered = cover(proc, null, kCoveredInProc); !covered) return covered;
  if (auto made = make_read_only(proc, kReadOnlyInProc); !made) return made;
  return host_root ? shield_sysctls(proc) : make_read_only(proc, kReadOnlyInSysctl);
}

Result<void> shield_sys(const Fd& sys, const Fd& null) { return cover(sys, null, kCoveredInSys); }

}  // namespace userns::frontend
