// Built into a helper whose every function calls this first (-finstrument-functions): a fault that
// somebody else's bytes could cause in it, as an attacker would use it.
//
// USERNS_INJECT="ADDRESS CALL" makes the first entry of the function at ADDRESS (as nm prints it)
// try one system call, by number alone, and end the process with 77 where it was made.
// USERNS_INJECT="ADDRESS list" prints, at that entry, the address of each function entered so far
// and when that was, in ns (for tests/bench).
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

extern const char __executable_start;  // the linker's

#define UNTOUCHED __attribute__((no_instrument_function))

namespace {

std::uintptr_t g_wanted = 0;
char g_what[32];
struct Entry {
  std::uintptr_t function;
  std::uint64_t when;
};
std::array<Entry, 4096> g_entered;
std::size_t g_count = 0;

UNTOUCHED __attribute__((constructor)) void read_wish() {
  const char* const wish = std::getenv("USERNS_INJECT");
  if (wish == nullptr) return;
  char* rest = nullptr;
  g_wanted = std::strtoul(wish, &rest, 16);
  std::strncpy(g_what, rest + (*rest == ' ' ? 1 : 0), sizeof g_what - 1);
}

UNTOUCHED bool is(const char* word) { return std::strcmp(g_what, word) == 0; }

UNTOUCHED std::uint64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(time.tv_nsec);
}

UNTOUCHED void list() {
  for (std::size_t i = 0; i < g_count; ++i) {
    char line[34];
    for (int digit = 0; digit < 16; ++digit) {
      line[digit] = "0123456789abcdef"[g_entered[i].function >> (60 - 4 * digit) & 15U];
      line[17 + digit] = "0123456789abcdef"[g_entered[i].when >> (60 - 4 * digit) & 15U];
    }
    line[16] = ' ';
    line[33] = '\n';
    if (::write(STDERR_FILENO, line, sizeof line) < 0) return;
  }
}

UNTOUCHED long attempt() {
  static char path[] = "/etc/passwd", program[] = "/bin/true";
  char* argv[] = {program, nullptr};
  if (is("open")) return ::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
  if (is("write-file")) return ::syscall(SYS_openat, AT_FDCWD, path, O_WRONLY);
  if (is("exec")) return ::syscall(SYS_execve, program, argv, argv);
  if (is("socket")) return ::syscall(SYS_socket, 1, 1, 0);
  if (is("fork")) return ::syscall(SYS_clone, 17, nullptr, nullptr, nullptr, nullptr);
  if (is("setuid")) return ::syscall(SYS_setresuid, 0, 0, 0);
  if (is("kill")) return ::syscall(SYS_kill, ::getppid(), 0);
  if (is("mount")) return ::syscall(SYS_mount, path, path, path, 0, nullptr);
  return ::syscall(SYS_getpid);  // what every lock allows: the fault is reached
}

}  // namespace

extern "C" {

UNTOUCHED void __cyg_profile_func_enter(void* function, void* /*caller*/) {
  const auto at = reinterpret_cast<std::uintptr_t>(function) -
                  reinterpret_cast<std::uintptr_t>(&__executable_start);
  if (g_wanted == 0) return;
  if (g_count < g_entered.size()) g_entered[g_count++] = {at, now()};
  if (at != g_wanted) return;
  if (is("list")) return list();
  ::syscall(SYS_exit_group, attempt() >= 0 ? 77 : 78);
}
UNTOUCHED void __cyg_profile_func_exit(void* /*function*/, void* /*caller*/) {}
}
