#include "common/namespace_fd.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::in_child;
using test::rule_of;
using enum NetnsTarget::Kind;

int open_of(pid_t pid, const char* kind) {
  return ::open(cat("/proc/", pid, "/ns/", kind).c_str(), O_RDONLY | O_CLOEXEC);
}

TEST(NetNamespace, OfThisProcessIsOursAndRoots) {
  for (const NetnsTarget target : {NetnsTarget{kPid, ::getpid()}, NetnsTarget{kFd, open_of(::getpid(), "net")},
                                   NetnsTarget{kPidfd, static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))}}) {
    const auto found = open_net_namespace(target);
    ASSERT_TRUE(found) << test::text_of(found);
    EXPECT_TRUE(found->ours);
    EXPECT_EQ(found->owner, Uid{0});
  }
}

TEST(NetNamespace, BelowIsThatOfWhoMadeItsUserNamespace) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    auto ready = make_pipe(), done = make_pipe();
    const pid_t child = ::fork();
    if (child == 0) {
      done->write.reset();
      if (::setresuid(1234, 1234, 1234) != 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(1);
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
    EXPECT_EQ(found->owner, Uid{1234});
  });
}

// Rule NR-OWNER.
TEST(NetNamespace, ThatBelongsToNobodyBelowIsRefused) {
  in_child([] {
    const int hosts = open_of(::getpid(), "net");
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return;  // not allowed here; tests/helpers have it
    EXPECT_EQ(rule_of(open_net_namespace({kFd, hosts})), "NR-OWNER");
  });
}

// Rule NR-NETNS.
TEST(NetNamespace, IsNothingElse) {
  for (const int fd : {open_of(::getpid(), "user"), open_of(::getpid(), "mnt"), ::open("/dev/null", O_RDONLY), 999})
    EXPECT_EQ(rule_of(open_net_namespace({kFd, fd})), "NR-NETNS");
}

// Rule NR-TARGET.
TEST(NetNamespace, OfWhatIsNotThereIsRefused) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  ::waitpid(child, nullptr, 0);
  for (const NetnsTarget target : {NetnsTarget{kPid, child}, NetnsTarget{kPidfd, pidfd},
                                   NetnsTarget{kPidfd, ::open("/dev/null", O_RDONLY)}, NetnsTarget{kPidfd, 999}})
    EXPECT_EQ(rule_of(open_net_namespace(target)), "NR-TARGET");
}

}  // namespace
}  // namespace userns
