#include "common/lockdown.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "tests/unit/expect.h"
#include "tests/unit/private_files.h"

namespace userns {
namespace {

using test::in_child;
using test::rule_of;

constexpr sock_filter kAll[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
// getppid(2) fails, all else is as it was.
constexpr sock_filter kOne[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
                                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

TEST(LockDown, PutsTheFilterInPlaceAndTakesEveryPathAway) {
  in_child([] {
    ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ASSERT_EQ(rule_of(lock_down(kOne)), "granted");
    EXPECT_EQ(::syscall(SYS_getppid), -1);
    EXPECT_EQ(::prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
    if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) < 1) return;
    EXPECT_LT(::open("/etc/passwd", O_RDONLY | O_CLOEXEC), 0);
    EXPECT_EQ(errno, EACCES);
  });
}

TEST(LockDown, LeavesATreeToBeReadAndItsDirectoriesRemovedAndNoMore) {
  SKIP_WITHOUT_ROOT();
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) < 1)
    GTEST_SKIP() << "this kernel has no Landlock";
  test::in_mnt([] {
    ASSERT_TRUE(::mkdir("/mnt/tree", 0755) == 0 && ::mkdir("/mnt/tree/sub", 0755) == 0);
    ASSERT_TRUE(::mkdir("/mnt/other", 0755) == 0);
    ASSERT_TRUE(open_at(AT_FDCWD, "/mnt/tree/file", O_CREAT | O_WRONLY, 0, 0644));
    const auto tree = open_at(AT_FDCWD, "/mnt/tree", O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(tree);
    const Fd* const trees[] = {&*tree};
    ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ASSERT_EQ(rule_of(lock_down(kAll, trees)), "granted");
    EXPECT_TRUE(open_at(tree->get(), "file", O_RDONLY));
    EXPECT_TRUE(open_at(tree->get(), "sub", O_RDONLY | O_DIRECTORY));
    EXPECT_FALSE(open_at(tree->get(), "file", O_WRONLY));
    EXPECT_FALSE(open_at(tree->get(), "../other", O_RDONLY));
    EXPECT_NE(::unlinkat(tree->get(), "file", 0), 0);
    EXPECT_NE(::mkdirat(tree->get(), "new", 0755), 0);
    EXPECT_NE(::rmdir("/mnt/other"), 0);
    EXPECT_EQ(::unlinkat(tree->get(), "sub", AT_REMOVEDIR), 0);
  });
}

// Rule PR-LOCK.
TEST(LockDown, ThatTheKernelRefusesIsARefusal) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_EQ(::setresuid(1234, 1234, 1234), 0);
    EXPECT_EQ(rule_of(lock_down(kAll)), "PR-LOCK") << "without no_new_privs";
  });
  in_child([] { EXPECT_EQ(rule_of(lock_down({})), "PR-LOCK") << "a filter of no length"; });
}

}  // namespace
}  // namespace userns
