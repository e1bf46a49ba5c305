#include "common/caller.h"

#include <grp.h>

#include <algorithm>

#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::in_child;

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

}  // namespace
}  // namespace userns
