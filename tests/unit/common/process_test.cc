#include "common/process.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <csignal>

#include "helpers/idmap/user_namespace.h"
#include "policy/text.h"
#include "tests/unit/expect.h"
#include "tests/unit/private_files.h"

namespace userns {
namespace {

using test::rule_of;

// A child that waits to be killed.
class Sleeper {
 public:
  explicit Sleeper(bool in_namespace = false, bool dumpable = true) {
    auto ready = make_pipe();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (in_namespace && ::unshare(CLONE_NEWUSER) != 0) ::_exit(1);
      if (!dumpable) ::prctl(PR_SET_DUMPABLE, 0);
      (void)write_all(ready->write, "r");
      ready->write.reset();
      while (true) ::pause();
    }
    ready->write.reset();
    (void)read_all(ready->read, 1);  // until the child has said so and closed, or died
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() { end(); }
  void end(bool reap = true) {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
    if (!reap) return;
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  [[nodiscard]] Target by_pid() const { return {Target::Kind::kPid, pid_}; }
  [[nodiscard]] Target by_directory() const {
    return {Target::Kind::kFd,
            ::open(concat("/proc/", pid_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  }
  [[nodiscard]] Target by_pidfd() const {
    return {Target::Kind::kFd, static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0))};
  }

 private:
  pid_t pid_ = -1;
};

TEST(Process, IsFoundByPidDirectoryAndPidfd) {
  const Sleeper sleeper;
  for (const auto& target : {sleeper.by_pid(), sleeper.by_directory(), sleeper.by_pidfd()}) {
    const auto process = Process::open(target);
    ASSERT_TRUE(process) << test::text_of(process);
    EXPECT_EQ(process->owner(), Uid{::geteuid()});
    EXPECT_EQ(process->group(), Gid{::getegid()});
    EXPECT_GT(process->pid(), 1U);
    EXPECT_TRUE(process->still_alive());
    EXPECT_TRUE(process->open_file("status", O_RDONLY));
  }
}

// Rule IM-PROC.
TEST(Process, IsNoOtherDirectoryOrFile) {
  for (const char* path : {"/tmp", "/proc", "/proc/self/ns", "/etc/passwd", "/proc/version"})
    EXPECT_EQ(rule_of(Process::open({Target::Kind::kFd, ::open(path, O_RDONLY | O_CLOEXEC)})),
              "IM-PROC")
        << path;
  EXPECT_EQ(rule_of(Process::open({Target::Kind::kFd, 999})), "IM-PROC");
}

// Rule IM-PIDFD.
TEST(Process, OutsideOfThisPidNamespaceIsNotToBeSeenByItsPidfd) {
  SKIP_WITHOUT_ROOT();
  const Sleeper sleeper;
  const auto target = sleeper.by_pidfd();
  test::in_mnt([&] {
    ASSERT_EQ(::unshare(CLONE_NEWPID), 0);
    test::in_child([&] {
      ASSERT_EQ(::mount("proc", "/proc", "proc", 0, nullptr), 0);
      EXPECT_EQ(rule_of(Process::open(target)), "IM-PIDFD");
    });
  });
}

TEST(Process, WhoseDirectoryCannotBeOpenedIsRefusedInTheRulesName) {
  const Sleeper sleeper;
  test::in_child([&] {
    const rlimit none{0, 0};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    EXPECT_EQ(rule_of(Process::open(sleeper.by_pid())), "IM-PROC");
  });
}

// Rule IM-GONE.
TEST(Process, ThatHasEndedIsGone) {
  Sleeper sleeper;
  const auto pid = sleeper.by_pid();
  const Target fds[] = {sleeper.by_directory(), sleeper.by_pidfd()};
  const auto held = Process::open(sleeper.by_directory());
  const auto held_by_pidfd = Process::open(sleeper.by_pidfd());
  ASSERT_TRUE(held && held_by_pidfd);
  sleeper.end();
  EXPECT_EQ(rule_of(Process::open(pid)), "IM-GONE");
  for (const auto& fd : fds) EXPECT_EQ(rule_of(Process::open(fd)), "IM-GONE");
  EXPECT_FALSE(held->open_file("uid_map", O_RDWR)) << "a directory fd is bound to its process";
  EXPECT_EQ(rule_of(held_by_pidfd->still_alive()), "IM-GONE");
}

TEST(Process, OpensNoFileOutsideOfItself) {
  const Sleeper sleeper;
  const auto process = Process::open(sleeper.by_pid());
  ASSERT_TRUE(process);
  for (const char* name : {"../version", "root/etc/passwd", "cwd", "exe", "/etc/passwd", "nothing"})
    EXPECT_FALSE(process->open_file(name, O_RDONLY)) << name;
}

// Rule IM-CHILD.
TEST(ChildUserNamespace, IsTheNextOneDown) {
  const Sleeper here;
  const Sleeper child(true);
  const auto same = Process::open(here.by_pid());
  const auto below = Process::open(child.by_pid());
  ASSERT_TRUE(same && below);
  const auto same_ns = user_namespace_of(*same);
  const auto below_ns = user_namespace_of(*below);
  ASSERT_TRUE(same_ns && below_ns);
  EXPECT_FALSE(same_ns->is_child);
  EXPECT_TRUE(below_ns->is_child);
  EXPECT_EQ(below_ns->owner, Uid{::geteuid()});
}

}  // namespace
}  // namespace userns
