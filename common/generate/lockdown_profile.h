// The system calls that a helper may still make once its facts are gathered (common/lockdown.h);
// any other kills it.
//
// As traced: tests/helpers/lockdown.py compares runs with these and with SECURITY.md. Read by the
// generator only, at build time, for every CPU: lockdown_cpus.h says what differs.
#pragma once

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <cstdint>

namespace userns {

enum class Is : std::uint8_t { kAnything, kThis, kNotZero };
// `argument` of the call, of which the kernel looks at `mask`.
struct Bound {
  Is is = Is::kAnything;
  unsigned argument = 0;
  std::uint64_t mask = 0, value = 0;
};
struct Allowed {
  const char* call;
  Bound bound;
};
inline constexpr std::uint64_t kInt = 0xffffffff;

// What all do: use what is open, raise and lower capabilities, record, report, end.
inline constexpr Allowed kAllMay[] = {
    {"read", {}},
    {"write", {}},
    {"close", {}},
    {"capget", {}},
    {"capset", {}},
    {"brk", {}},
    {"mmap", {Is::kThis, 2, PROT_EXEC, 0}},
    {"mremap", {}},
    {"munmap", {}},
    {"madvise", {Is::kThis, 2, kInt, MADV_FREE}},  // musl's free()
    // The record of the decision: libaudit sends it, waits for the kernel's answer, and names the
    // program by the link of its own file.
    {"sendto", {}},
    {"recvfrom", {}},
    {"poll", {}},
    {"readlink", {}},
    {"getpid", {}},
    // The end where a capability can't be lowered: abort(3).
    {"gettid", {}},
    {"rt_sigprocmask", {}},
    {"rt_sigaction", {}},
    {"tgkill", {}},
    {"exit_group", {}},
    {"restart_syscall", {}},
};

// The one write of a map, and of setgroups, at the beginning of a file that is open.
inline constexpr Allowed kNewidmapMay[] = {{"lseek", {}}};

// Requests on the netlink socket that is open; pauses; stepping down to the caller, never up to an
// effective uid 0.
inline constexpr Allowed kNetMay[] = {
    {"ioctl", {Is::kThis, 1, kInt, SIOCGIFINDEX}},
    {"clock_nanosleep", {}},
    {"nanosleep", {}},
    {"dup", {}},
    {"prctl", {Is::kThis, 0, kInt, PR_SET_KEEPCAPS}},
    {"setresuid", {Is::kNotZero, 1, kInt}},
};

// Finding the tree of cgroups, which the policy names; then walking it and removing directories
// there (Landlock keeps it in); stepping down to the caller.
inline constexpr Allowed kCgroupMay[] = {
    {"readlinkat", {}},
    {"landlock_create_ruleset", {}},
    {"landlock_add_rule", {}},
    {"landlock_restrict_self", {}},
    {"openat2", {}},
    {"getdents64", {}},
    {"newfstatat", {}},
    {"fstat", {}},
    {"fstatfs", {}},
    {"fcntl", {}},
    {"flock", {}},
    {"unlinkat", {Is::kThis, 2, kInt, AT_REMOVEDIR}},
    {"clock_nanosleep", {}},
    {"nanosleep", {}},
    {"dup", {}},
    {"setresuid", {Is::kNotZero, 1, kInt}},
};

// Cloning the tree that is open, in a child that shares the fds and has mount namespaces of its
// own; the hand-over. move_mount(2), open_tree(2) and mount_setattr(2) take paths, which no filter
// can read: after the decision the program is asked for nothing any more.
inline constexpr Allowed kIdmapMay[] = {
    {"open_tree", {}}, {"mount_setattr", {}}, {"move_mount", {}}, {"pipe2", {}},
    {"clone3", {}},    {"unshare", {}},       {"wait4", {}},      {"getsockopt", {}},
    {"sendmsg", {}},   {"lseek", {}},         {"newfstatat", {}}, {"fstat", {}},
};

}  // namespace userns
