// At build time: a system call filter as C++, on stdout. For the generators alone; no program
// contains it.
#pragma once

#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace userns::seccomp_text {

[[noreturn]] inline void give_up(const char* what) {
  std::fprintf(stderr, "seccomp generator: cannot %s\n", what);
  std::exit(1);
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

// `filter` as the array NAME; releases it.
inline void print(const char* name, scmp_filter_ctx filter) {
  std::printf("inline constexpr sock_filter %s[] = {\n", name);
  for (const auto& [code, jump_true, jump_false, k] : compiled(filter))
    std::printf("    {%u, %u, %u, %uU},\n", code, jump_true, jump_false, k);
  std::puts("};");
  seccomp_release(filter);
}

}  // namespace userns::seccomp_text
