// Calls of lockdown_profile.h that the C library makes under another name on some CPUs, or that
// have other arguments there.
//
// The generator fails at a call that the CPU does not have, unless this table says what stands in
// its place: an allow-list that drops a name in silence kills the helper on that CPU. CPUs are
// named as libseccomp does. Sources: syscall(2), the kernel's tables, runs under qemu-user
// (packaging/cross).
#pragma once

#include <array>
#include <string_view>

namespace userns {

struct OnCpu {
  std::string_view cpu;
  std::string_view call;  // of lockdown_profile.h
  std::array<const char*, 3>
      instead;        // what is allowed there; its arguments stand in the same place
  bool bound = true;  // false: the argument cannot be judged there
};

inline constexpr OnCpu kOnCpus[] = {
    // 32 bits: the names without a number are the ones of 16-bit ids, of small files, of years
    // before 2038. `mmap` of i386 takes a pointer to its arguments.
    {"x86", "mmap", {"mmap2"}},
    {"x86", "lseek", {"_llseek", "lseek"}},
    {"x86", "newfstatat", {"fstatat64", "statx"}},
    {"x86", "fstat", {"fstat64", "statx"}},
    {"x86", "fstatfs", {"fstatfs64"}},
    {"x86", "fcntl", {"fcntl64"}},
    {"x86", "clock_nanosleep", {"clock_nanosleep_time64", "clock_nanosleep"}},
    {"x86", "setresuid", {"setresuid32"}},
    // glibc takes it wherever the kernel has it.
    {"ppc64le", "lseek", {"_llseek", "lseek"}},
    {"arm", "mmap", {"mmap2"}},
    {"arm", "lseek", {"_llseek", "lseek"}},
    {"arm", "newfstatat", {"fstatat64", "statx"}},
    {"arm", "fstat", {"fstat64", "statx"}},
    {"arm", "fstatfs", {"fstatfs64"}},
    {"arm", "fcntl", {"fcntl64"}},
    {"arm", "clock_nanosleep", {"clock_nanosleep_time64", "clock_nanosleep"}},
    {"arm", "setresuid", {"setresuid32"}},
    // send(3) and recv(3) are calls of their own there.
    {"x86", "sendto", {"sendto", "send"}},
    {"x86", "recvfrom", {"recvfrom", "recv"}},
    {"arm", "sendto", {"sendto", "send"}},
    {"arm", "recvfrom", {"recvfrom", "recv"}},
    {"s390x", "sendto", {"sendto", "send"}},
    {"s390x", "recvfrom", {"recvfrom", "recv"}},
    {"ppc64le", "sendto", {"sendto", "send"}},
    {"ppc64le", "recvfrom", {"recvfrom", "recv"}},
    // The newer tables have the newer call alone.
    {"aarch64", "poll", {"ppoll"}},
    {"aarch64", "readlink", {"readlinkat"}},
    {"riscv64", "poll", {"ppoll"}},
    {"riscv64", "readlink", {"readlinkat"}},
    // `mmap` takes a pointer to its arguments, which no filter can follow: memory that is code
    // cannot be refused there.
    {"s390x", "mmap", {"mmap"}, false},
};

}  // namespace userns
