#include "common/groups.h"

#include <grp.h>
#include <sys/resource.h>

#include "tests/unit/expect.h"
#include "tests/unit/private_files.h"

namespace userns {
namespace {

TEST(Groups, AreTheRealAndTheSupplementaryOnes) {
  SKIP_WITHOUT_ROOT();
  test::in_mnt([] {
    test::replace_file("/etc/nsswitch.conf", "group: files\n");
    test::replace_file("/etc/group",
                       "real:x:601:\nextra:x:602:\neffective:x:603:\nlisted:x:604:root\n");
    const gid_t extra[] = {602};
    ASSERT_TRUE(::setgroups(1, extra) == 0 && ::setresgid(601, 603, 603) == 0);
    auto groups = Groups::of_caller();
    ASSERT_TRUE(groups);
    EXPECT_TRUE(groups->contain("real"));
    EXPECT_TRUE(groups->contain("extra"));
    for (const char* const name : {"effective", "listed", "absent", ""})
      EXPECT_FALSE(groups->contain(name)) << name;
    EXPECT_FALSE(groups->failed()) << "a group that is not there is no failure";
  });
}

// Rule SU-NAME.
TEST(Groups, RememberALookUpThatFailed) {
  SKIP_WITHOUT_ROOT();
  test::in_mnt([] {
    test::replace_file("/etc/nsswitch.conf", "group: files\n");
    test::replace_file("/etc/group", "lab:x:601:\n");
    auto groups = Groups::of_caller();
    ASSERT_TRUE(groups);
    // No file can be opened any more, so nobody can say whether it is there.
    const rlimit none{0, 0};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    EXPECT_FALSE(groups->contain("lab"));
    ASSERT_TRUE(groups->failed());
    EXPECT_EQ(groups->failed()->rule, "SU-NAME");
  });
}

}  // namespace
}  // namespace userns
