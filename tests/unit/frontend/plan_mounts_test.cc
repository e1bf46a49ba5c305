#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>

#include "frontend/start/plan/plan_mounts.h"

namespace userns::frontend {
namespace {

using Kind = MountStep::Kind;
constexpr std::uint64_t kAll =
    CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWUTS;

const MountStep* at(const std::vector<MountStep>& steps, std::string_view destination) {
  const auto found = std::ranges::find(steps, destination, &MountStep::destination);
  return found == steps.end() ? nullptr : &*found;
}

TEST(MountsOfARootfs, AreFreshWhereTheNamespaceIsOwn) {
  const auto steps = plan_mounts({}, kAll, true, false);
  EXPECT_EQ(at(steps, "/proc")->kind, Kind::kProc);
  EXPECT_EQ(at(steps, "/sys")->kind, Kind::kSys);
  EXPECT_EQ(at(steps, "/dev")->kind, Kind::kDev);
  EXPECT_TRUE(at(steps, "/run") != nullptr && at(steps, "/tmp") != nullptr);
}

TEST(MountsOfARootfs, AreTheHostsWhereTheNamespaceIsShared) {
  const auto steps = plan_mounts({}, CLONE_NEWNS, true, false);
  EXPECT_EQ(at(steps, "/proc")->kind, Kind::kBind);
  EXPECT_EQ(at(steps, "/sys")->kind, Kind::kBind);
  EXPECT_TRUE(at(steps, "/sys")->read_only);
  EXPECT_EQ(at(steps, "/sys/fs/cgroup"), nullptr);
}

TEST(MountsOfARootfs, AreShieldedUnlessContainersAreToNest) {
  Spec spec;
  for (const auto own : {kAll, std::uint64_t{CLONE_NEWNS}}) {
    spec.nesting = false;
    EXPECT_TRUE(at(plan_mounts(spec, own, true, false), "/proc")->shielded);
    EXPECT_TRUE(at(plan_mounts(spec, own, true, false), "/sys")->shielded);
    spec.nesting = true;
    EXPECT_FALSE(at(plan_mounts(spec, own, true, false), "/proc")->shielded);
    EXPECT_TRUE(at(plan_mounts(spec, own, true, false), "/sys")->read_only);
  }
}

TEST(MountsOfASystem, HaveItsCgroupsWhateverItsNetworkIs) {
  Spec spec;
  spec.boot = true;
  EXPECT_NE(
      at(plan_mounts(spec, kAll & ~std::uint64_t{CLONE_NEWNET}, true, true), "/sys/fs/cgroup"),
      nullptr);
}

TEST(MountsOfTheHostsTree, AreOnlyWhatWouldShowAnotherNamespace) {
  EXPECT_TRUE(plan_mounts({}, CLONE_NEWNS, false, false).empty());
  const auto steps = plan_mounts({}, kAll, false, false);
  EXPECT_EQ(at(steps, "/proc")->kind, Kind::kProc);
  EXPECT_EQ(at(steps, "/dev"), nullptr);
  EXPECT_EQ(at(steps, "/tmp"), nullptr);
}

TEST(MountsOfTheHostsTree, HaveAnOwnDevptsForAnOwnTerminal) {
  EXPECT_EQ(at(plan_mounts({}, kAll, false, true), "/dev/pts")->kind, Kind::kDevpts);
  EXPECT_EQ(at(plan_mounts({}, kAll, false, false), "/dev/pts"), nullptr);
}

TEST(MountWishes, ComeLastAndInTheirOrder) {
  Spec spec;
  spec.mounts = {TmpfsWish{"/a"}, BindWish{"/s", "/a/b", true}};
  const auto steps = plan_mounts(spec, kAll, true, false);
  ASSERT_GE(steps.size(), 2U);
  EXPECT_EQ(steps[steps.size() - 2].destination, "/a");
  EXPECT_EQ(steps.back().destination, "/a/b");
  EXPECT_TRUE(steps.back().read_only);
  EXPECT_FALSE(steps.back().optional);
}

}  // namespace
}  // namespace userns::frontend
