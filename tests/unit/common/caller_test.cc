#include "common/caller.h"

#include <grp.h>

#include <algorithm>

#include "tests/unit/expect.h"
#include "tests/unit/private_files.h"

namespace userns {
namespace {

using test::in_child;
using test::in_mnt;

TEST(Caller, IsTheRealUidAndGid) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_EQ(::setresgid(500, 600, 700), 0);
    ASSERT_EQ(::setresuid(501, 601, 701), 0);
    const auto caller = Caller::identify();
    EXPECT_EQ(caller.uid, Uid{501});
    EXPECT_EQ(caller.gid, Gid{500});
  });
}

TEST(LoginName, IsThatOfThePasswd) {
  EXPECT_EQ(login_name(Uid{0}).value(), "root");
  EXPECT_EQ(login_name(Uid{4242424}).value(), "") << "a uid without a name is no failure";
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

}  // namespace
}  // namespace userns
