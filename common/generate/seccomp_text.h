// At build time: a system call filter as C++, on stdout. For the generators alone; no program
// contains it.
//
// They run where the suite is built and write for where it will run: the CPU is theirs to name, and
// nothing that the builder's kernel knows or lacks gets into the filter.
#pragma once

#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace userns::seccomp_text {

[[noreturn]] inline void give_up(const char* what) {
  std::fprintf(stderr, "seccomp generator: cannot %s\n", what);
  std::exit(1);
}

struct Target {
  const char* name;  // as libseccomp has it
  std::uint32_t token;
  bool big_endian;
};

inline Target target_of(int argc, char** argv) {
  const Target target{argc == 2 ? argv[1] : "", argc == 2 ? seccomp_arch_resolve_name(argv[1]) : 0,
                      argc == 2 && std::string_view(argv[1]).starts_with("s390")};
  if (target.token == 0) give_up("find this CPU in libseccomp");
  return target;
}

[[noreturn]] inline void not_there(const Target& target, const char* call) {
  std::fprintf(
      stderr, "seccomp generator: %s has no call %s%s; what takes its place?\n", target.name, call,
      seccomp_syscall_resolve_name(call) == __NR_SCMP_ERROR ? " that this libseccomp knows" : "");
  std::exit(1);
}

// An empty filter for `target` alone. The API level says which actions there are; without it
// libseccomp asks the builder's kernel.
inline scmp_filter_ctx begin(const Target& target, std::uint32_t action) {
  if (seccomp_api_set(3) != 0) give_up("be independent of this kernel");
  const scmp_filter_ctx filter = seccomp_init(action);
  // A tree of numbers instead of a list: the kernel runs the whole of it for each call that there
  // is, to know which ones it always allows.
  if (filter == nullptr || seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0)
    give_up("begin");
  // The builder's first: a filter is of one byte order.
  const auto native = seccomp_arch_native();
  if (native != target.token &&
      (seccomp_arch_remove(filter, native) != 0 || seccomp_arch_add(filter, target.token) != 0))
    give_up("choose the CPU");
  return filter;
}

struct Instruction {  // as struct sock_filter
  std::uint16_t code;
  std::uint8_t jump_true;
  std::uint8_t jump_false;
  std::uint32_t k;
};

inline std::vector<Instruction> compiled(scmp_filter_ctx filter) {
  const int file = ::memfd_create("profile", 0);
  if (file < 0 || seccomp_export_bpf(filter, file) != 0) give_up("compile the profile");
  const auto size = ::lseek(file, 0, SEEK_END);
  std::vector<Instruction> program(static_cast<std::size_t>(size) / sizeof(Instruction));
  if (::pread(file, program.data(), static_cast<std::size_t>(size), 0) != size)
    give_up("read the profile");
  return program;
}

inline void print_head(const char* source) {
  std::printf("// Written at build time from %s.\n#pragma once\n\n#include <linux/filter.h>\n\n",
              source);
}

// `filter` as the array NAME; releases it. libseccomp stores numbers in the target's byte order.
inline void print(const Target& target, const char* name, scmp_filter_ctx filter) {
  const bool swap = target.big_endian != (std::endian::native == std::endian::big);
  std::printf("inline constexpr sock_filter %s[] = {\n", name);
  for (const auto& [code, jump_true, jump_false, k] : compiled(filter))
    std::printf("    {%u, %u, %u, %uU},\n", unsigned{swap ? __builtin_bswap16(code) : code},
                jump_true, jump_false, swap ? __builtin_bswap32(k) : k);
  std::puts("};");
  seccomp_release(filter);
}

}  // namespace userns::seccomp_text
