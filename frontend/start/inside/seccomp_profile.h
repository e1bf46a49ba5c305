// What the default system call filter blocks, and what the command is answered.
//
// A container's root can already do nothing that the kernel reserves for the machine's root. The
// filter takes away kernel code that such a container has no use for and that has often been the
// way out of one: less surface, not a second policy. Everything that is not listed is allowed -
// mount, unshare, clone, setns and ptrace too, so that containers nest and package builds and
// debuggers work.
//
// EPERM where a program is to take it for a missing right; ENOSYS where it then falls back to an
// older way (io_uring, keyrings, userfaultfd). Read by the generator only, at build time.
#pragma once

#include <array>
#include <cerrno>
#include <string_view>

namespace userns::frontend {

struct Blocked {
  const char* call;  // the build fails if the generator's libseccomp does not know it
  int answer;        // errno
  std::string_view why;
};

// Containers that nest do without this reason.
inline constexpr std::string_view kKeyrings = "keyrings are not namespaced";

inline constexpr std::array kBlockedCalls{
    Blocked{"kexec_load", EPERM, "another kernel"},
    Blocked{"kexec_file_load", EPERM, "another kernel"},
    Blocked{"init_module", EPERM, "kernel modules"},
    Blocked{"finit_module", EPERM, "kernel modules"},
    Blocked{"delete_module", EPERM, "kernel modules"},
    Blocked{"create_module", EPERM, "kernel modules"},
    Blocked{"query_module", EPERM, "kernel modules"},
    Blocked{"get_kernel_syms", EPERM, "kernel modules"},
    Blocked{"bpf", EPERM, "programs in the kernel"},
    Blocked{"perf_event_open", EPERM, "performance counters, of the kernel's too"},
    Blocked{"userfaultfd", ENOSYS, "stops the kernel half way; a tool of exploits"},
    Blocked{"io_uring_setup", ENOSYS, "a second way to most system calls, past every filter"},
    Blocked{"io_uring_enter", ENOSYS, "as io_uring_setup"},
    Blocked{"io_uring_register", ENOSYS, "as io_uring_setup"},
    Blocked{"keyctl", ENOSYS, kKeyrings},
    Blocked{"add_key", ENOSYS, kKeyrings},
    Blocked{"request_key", ENOSYS, kKeyrings},
    Blocked{"open_by_handle_at", EPERM, "reaches files past the root directory"},
    Blocked{"syslog", EPERM, "the host's kernel log"},
    Blocked{"swapon", EPERM, "the host's memory"},
    Blocked{"swapoff", EPERM, "the host's memory"},
    Blocked{"acct", EPERM, "the host's process accounting"},
    Blocked{"quotactl", EPERM, "the host's disk quotas"},
    Blocked{"quotactl_fd", EPERM, "the host's disk quotas"},
    Blocked{"nfsservctl", EPERM, "obsolete"},
    Blocked{"lookup_dcookie", EPERM, "obsolete"},
    Blocked{"uselib", EPERM, "obsolete"},
    Blocked{"ustat", EPERM, "obsolete"},
    Blocked{"sysfs", EPERM, "obsolete"},
    Blocked{"_sysctl", ENOSYS, "obsolete"},
    Blocked{"vm86", EPERM, "obsolete"},
    Blocked{"vm86old", EPERM, "obsolete"},
    Blocked{"iopl", EPERM, "hardware"},
    Blocked{"ioperm", EPERM, "hardware"},
};

// ioctl(2) requests, judged by their lower 32 bits, as the kernel does.
struct BlockedIoctl {
  unsigned request;
  std::string_view why;
};
inline constexpr std::array kBlockedIoctls{
    BlockedIoctl{0x5412, "TIOCSTI: types into a terminal"},
    BlockedIoctl{0x541c, "TIOCLINUX: pastes into a console"},
};

}  // namespace userns::frontend
