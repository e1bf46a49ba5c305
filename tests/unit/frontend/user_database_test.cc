#include "frontend/spec/user_database.h"

#include <grp.h>
#include <sys/resource.h>

#include "tests/unit/expect.h"
#include "tests/unit/private_files.h"

namespace userns::frontend {
namespace {

using test::in_mnt;

TEST(LoginName, IsThatOfThePasswd) {
  EXPECT_EQ(login_name(Uid{0}).value(), "root");
  EXPECT_EQ(login_name(Uid{4242424}).value(), "") << "a uid without a name is not a failure";
}

// Rule SU-NAME.
TEST(LoginName, ThatALineWouldTakeForSomethingElseIsNone) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    test::replace_file("/etc/nsswitch.conf", "passwd: files\n");
    test::replace_file(
        "/etc/passwd",
        "root:x:0:0::/:\nplain:x:5001:1::/:\n@lab:x:5002:1::/:\n*:x:5003:1::/:\n5009:x:5004:1::/:\n"
        "a@b:x:5005:1::/:\n7up:x:5006:1::/:\n");
    EXPECT_EQ(login_name(Uid{5001}).value(), "plain");
    EXPECT_EQ(login_name(Uid{5006}).value(), "7up");
    EXPECT_EQ(login_name(Uid{5005}).value(), "a@b") << "as directories give them";
    EXPECT_EQ(login_name(Uid{5004}).value(), "") << "a line would take it for a uid";
  });
}

TEST(Contain, AsksForTheNameOfAGroup) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    test::replace_file("/etc/nsswitch.conf", "group: files\n");
    test::replace_file("/etc/group",
                       "real:x:601:\nextra:x:602:\neffective:x:603:\nlisted:x:604:root\n");
    const gid_t extra[] = {602};
    ASSERT_TRUE(::setgroups(1, extra) == 0 && ::setresgid(601, 603, 603) == 0);
    const auto groups = Groups::of_caller();
    ASSERT_TRUE(groups);
    EXPECT_TRUE(contain(*groups, "real"));
    EXPECT_TRUE(contain(*groups, "extra"));
    for (const char* const name : {"effective", "listed", "absent", ""})
      EXPECT_FALSE(contain(*groups, name)) << name;
  });
}

// Rule SU-NAME.
TEST(FindGroup, FailsIfTheLookUpFails) {
  SKIP_WITHOUT_ROOT();
  in_mnt([] {
    test::replace_file("/etc/nsswitch.conf", "group: files\n");
    test::replace_file("/etc/group", "lab:x:601:\n");
    // No file can be opened any more, so nobody can say whether it is there.
    const rlimit none{0, 0};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    const auto found = find_group("lab");
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().rule, "SU-NAME");
  });
}

}  // namespace
}  // namespace userns::frontend
