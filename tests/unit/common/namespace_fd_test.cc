#include "common/namespace_fd.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::in_child;
using test::rule_of;
using enum Target::Kind;

int open_of(pid_t pid, const char* kind) {
  return ::open(concat("/proc/", pid, "/ns/", kind).c_str(), O_RDONLY | O_CLOEXEC);
}

TEST(NetNamespace, OfThisProcessIsOursAndRoots) {
  for (const Target target :
       {Target{kPid, ::getpid()}, Target{kFd, open_of(::getpid(), "net")},
        Target{kPidfd, static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))}}) {
    const auto found = open_net_namespace(target);
    ASSERT_TRUE(found) << test::text_of(found);
    EXPECT_TRUE(found->ours);
    EXPECT_EQ(found->owner, Uid{0});
  }
}

// In a new user namespace, as its root.
bool become_its_root() {
  const auto uid = concat("0 ", ::geteuid(), " 1"), gid = concat("0 ", ::getegid(), " 1");
  const auto put = [](const char* file, std::string_view text) {
    const Fd fd(::open(concat("/proc/self/", file).c_str(), O_WRONLY | O_CLOEXEC));
    return fd.valid() && write_all(fd, text);
  };
  return ::unshare(CLONE_NEWUSER) == 0 && put("setgroups", "deny") && put("uid_map", uid) &&
         put("gid_map", gid);
}

// `levels`: how many user namespaces there are between ours and that of the net namespace.
void is_that_of_who_made_the_first(int levels) {
  in_child([&] {
    auto ready = make_pipe(), done = make_pipe();
    const pid_t child = ::fork();
    if (child == 0) {
      done->write.reset();
      if (::setresuid(1234, 1234, 1234) != 0 || ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0)
        ::_exit(1);
      for (int i = 0; i < levels; ++i)
        if (!become_its_root()) ::_exit(1);
      if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(1);
      (void)write_all(ready->write, "r");
      ready->write.reset();
      (void)read_all(done->read, 1);
      ::_exit(0);
    }
    ready->write.reset();
    ASSERT_EQ(read_all(ready->read, 1).value_or(""), "r");
    const auto found = open_net_namespace({kFd, open_of(child, "net")});
    done->write.reset();
    ASSERT_TRUE(found) << test::text_of(found);
    EXPECT_FALSE(found->ours);
    EXPECT_EQ(found->owner, Uid{1234}) << levels;
  });
}

TEST(NetNamespace, BelowIsThatOfWhoMadeItsUserNamespace) {
  SKIP_WITHOUT_ROOT();
  for (const int levels : {0, 1, 3}) is_that_of_who_made_the_first(levels);
}

// Rule NR-OWNER.
TEST(NetNamespace, ThatBelongsToNobodyBelowIsRefused) {
  in_child([] {
    const int hosts = open_of(::getpid(), "net");
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
      return;  // not allowed here; tests/helpers have it
    EXPECT_EQ(rule_of(open_net_namespace({kFd, hosts})), "NR-OWNER");
  });
}

// Rule NR-NETNS.
TEST(NetNamespace, IsNothingElse) {
  for (const int fd : {open_of(::getpid(), "user"), open_of(::getpid(), "mnt"),
                       ::open("/dev/null", O_RDONLY), 999})
    EXPECT_EQ(rule_of(open_net_namespace({kFd, fd})), "NR-NETNS");
}

// Rule NR-TARGET.
TEST(NetNamespace, OfWhatIsNotThereIsRefused) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  ::waitpid(child, nullptr, 0);
  for (const Target target : {Target{kPid, child}, Target{kPidfd, pidfd},
                              Target{kPidfd, ::open("/dev/null", O_RDONLY)}, Target{kPidfd, 999}})
    EXPECT_EQ(rule_of(open_net_namespace(target)), "NR-TARGET");
}

}  // namespace
}  // namespace userns
