#include "common/groups.h"

#include <grp.h>
#include <unistd.h>

#include "tests/unit/expect.h"

namespace userns {
namespace {

TEST(Groups, AreTheRealAndTheSupplementaryOnes) {
  SKIP_WITHOUT_ROOT();
  test::in_child([] {
    const gid_t extra[] = {602};
    ASSERT_TRUE(::setgroups(1, extra) == 0 && ::setresgid(601, 603, 603) == 0);
    const auto groups = Groups::of_caller();
    ASSERT_TRUE(groups);
    EXPECT_TRUE(groups->have(601) && groups->have(602));
    EXPECT_FALSE(groups->have(603)) << "the effective one alone";
    EXPECT_FALSE(groups->have(0));
  });
}

}  // namespace
}  // namespace userns
