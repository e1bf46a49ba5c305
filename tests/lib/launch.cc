// Becomes what harness.spawn() was told to start: a copy of the test's Python, which forks and does
// the same, costs ten times as much where page faults are dear.
//
//   launch FD     FD: a file of words that each end in a zero byte, as harness._launch() writes
//   them
//
// Exit status 121 and a line on stderr: it could not.
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kHighestSignal = 64;
int errors_to = 2;

[[noreturn]] void die(const char* what) {
  dprintf(errors_to, "harness: %s: %s\n", what, strerror(errno));
  _exit(121);
}

void check(bool good, const char* what) {
  if (!good) die(what);
}

class Words {
 public:
  explicit Words(int fd) {
    struct stat about{};
    check(fstat(fd, &about) == 0, "fstat");
    at_ = static_cast<char*>(
        mmap(nullptr, static_cast<size_t>(about.st_size), PROT_READ, MAP_PRIVATE, fd, 0));
    check(at_ != MAP_FAILED, "mmap");
  }
  char* text() {
    char* const word = at_;
    at_ += strlen(word) + 1;
    return word;
  }
  long number() { return strtol(text(), nullptr, 10); }
  int small() { return static_cast<int>(number()); }
  unsigned id() { return static_cast<unsigned>(number()); }
  // As execve(2) takes them.
  char** list() {
    const auto count = static_cast<size_t>(number());
    auto** const words = static_cast<char**>(calloc(count + 1, sizeof(char*)));
    check(words != nullptr, "calloc");
    for (size_t i = 0; i < count; ++i) words[i] = text();
    return words;
  }

 private:
  char* at_ = nullptr;
};

// The fds lie above all the numbers, in ascending order of these.
void take_fds(Words& words) {
  unsigned free = 0;
  for (long count = words.number(); count > 0; --count) {
    const int number = words.small();
    check(dup2(words.small(), number) == number, "dup2");
    if (static_cast<unsigned>(number) > free)
      check(close_range(free, static_cast<unsigned>(number) - 1, 0) == 0, "close_range");
    free = static_cast<unsigned>(number) + 1;
  }
  check(close_range(free, ~0U, 0) == 0, "close_range");
}

// Not sigaction(3), which leaves two of them to libc; posix_spawn(3) ignores these.
void set_signal(int number, unsigned long handler) {
  const unsigned long action[4] = {handler, 0, 0,
                                   0};  // as the kernel has it: no flags, nothing masked
  check(syscall(SYS_rt_sigaction, number, action, nullptr, sizeof(unsigned long)) == 0,
        "rt_sigaction");
}

void take_signals(Words& words) {
  for (int number = 1; number <= kHighestSignal; ++number) {
    if (number != SIGKILL && number != SIGSTOP) set_signal(number, 0);
  }
  for (long count = words.number(); count > 0; --count) set_signal(words.small(), 1);  // SIG_IGN
  sigset_t mask;
  sigemptyset(&mask);
  for (long count = words.number(); count > 0; --count) sigaddset(&mask, words.small());
  check(sigprocmask(SIG_SETMASK, &mask, nullptr) == 0, "sigprocmask");
}

void become_user(Words& words) {
  const unsigned uid = words.id();
  const unsigned gid = words.id();
  const unsigned egid = words.id();
  const auto count = static_cast<size_t>(words.number());
  auto* const groups = static_cast<gid_t*>(calloc(count + 1, sizeof(gid_t)));
  check(groups != nullptr, "calloc");
  for (size_t i = 0; i < count; ++i) groups[i] = words.id();
  check(setgroups(count, groups) == 0, "setgroups");
  check(setresgid(gid, egid, egid) == 0, "setresgid");
  check(setresuid(uid, uid, uid) == 0, "setresuid");
  // Changing ids made the process undumpable, which a login does not leave it.
  check(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0,
        "prctl");
}

// A target to be mapped: says "ready", and does nothing.
[[noreturn]] void be_target(int flags, int ready) {
  errors_to = ready;
  check(flags == 0 || unshare(flags) == 0, "unshare");
  check(write(ready, "ready", 5) == 5 && close(ready) == 0, "write");
  for (;;) pause();
}

[[noreturn]] void launch(Words words) {
  char* const path = words.text();
  check(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "prctl");
  take_fds(words);
  umask(static_cast<mode_t>(words.number()));
  check(chdir(words.text()) == 0, "chdir");
  take_signals(words);
  for (long count = words.number(); count > 0; --count)
    check(prctl(PR_CAPBSET_DROP, words.number(), 0, 0, 0) == 0, "PR_CAPBSET_DROP");
  const bool traced = words.number() != 0;
  // As root: the kernel judges a setuid exec by who the tracee was at this call.
  if (traced) check(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0, "ptrace");
  if (words.number() != 0) become_user(words);
  if (words.number() != 0)
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS");
  if (*path == '\0') {
    const int flags = words.small();
    be_target(flags, words.small());
  }
  char** const argv = words.list();
  char** const env = words.list();
  if (traced) check(kill(getpid(), SIGSTOP) == 0, "kill");
  for (long count = words.number(); count > 0; --count) {
    const int which = words.small();
    rlimit limit{};
    limit.rlim_cur = strtoul(words.text(), nullptr, 10);
    limit.rlim_max = strtoul(words.text(), nullptr, 10);
    check(setrlimit(static_cast<__rlimit_resource>(which), &limit) == 0, "setrlimit");
  }
  execve(path, argv, env);
  die(path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  launch(Words(atoi(argv[1])));
}
