// The least that a start with delegated ids can be: start_floor MAP_FLOOR COMMAND... All
// namespaces, two setuid programs side by side, a /proc, the command. Nothing is read, checked or
// told: for measuring only.
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace {

[[noreturn]] void inside(int go, char** command) {
  char byte = 0;
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::read(go, &byte, 1) != 1 || ::setgroups(0, nullptr) != 0 || ::setresgid(0, 0, 0) != 0 ||
      ::setresuid(0, 0, 0) != 0 ||
      ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    ::_exit(3);
  ::execvp(command[0], command);
  ::_exit(127);
}

bool ended_well(pid_t pid) {
  int status = 0;
  return ::waitpid(pid, &status, 0) == pid && status == 0;
}

}  // namespace

int main(int argc, char** argv) {
  int go[2];
  if (argc < 3 || ::pipe2(go, O_CLOEXEC) != 0) return 2;
  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_NEWPID;
  args.exit_signal = SIGCHLD;
  const auto first = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  if (first == 0) inside(go[0], argv + 2);
  char number[16];
  std::snprintf(number, sizeof number, "%d", first);
  pid_t writers[2];
  const char* const maps[2] = {"uid_map", "gid_map"};
  for (int i = 0; i < 2; ++i)
    if (writers[i] = ::vfork(); writers[i] == 0) {  // NOLINT(clang-analyzer-*)
      ::execl(argv[1], argv[1], number, maps[i], "0 100000 65536\n", nullptr);
      ::_exit(127);
    }
  if (!ended_well(writers[0]) || !ended_well(writers[1]) || ::write(go[1], "x", 1) != 1) return 4;
  return ended_well(first) ? 0 : 5;
}
