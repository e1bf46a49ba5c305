#include "frontend/run/apparmor.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "frontend/run/process.h"

namespace userns::frontend {
namespace {

TEST(AppArmor, OnlyAnEnforcedProfileRefuses) {
  for (const std::string_view label : {"session (enforce)", "a//&b (mixed)", "x (kill)"})
    EXPECT_TRUE(is_enforced(label)) << label;
  for (const std::string_view label : {"", "userns-run (unconfined)", "session (complain)"})
    EXPECT_FALSE(is_enforced(label)) << label;
}

TEST(AppArmor, ANameMayHaveBlanksAndParentheses) {
  EXPECT_EQ(profile_name("unprivileged_userns (enforce)"), "unprivileged_userns");
  EXPECT_EQ(profile_name("my (own) profile (enforce)"), "my (own) profile");
  EXPECT_EQ(profile_name("bare"), "bare");
}

TEST(AppArmor, ARefusalIsExplainedByWhoWeAre) {
  EXPECT_TRUE(why_no_clone(EACCES, "session (enforce)").contains("the AppArmor profile 'session'"));
  EXPECT_TRUE(why_no_clone(EPERM, "session (enforce)").contains("the AppArmor profile 'session'"));
  EXPECT_TRUE(why_no_clone(EACCES, "").contains("a security module"));
  EXPECT_FALSE(why_no_clone(EACCES, "").contains("chroot"));
  EXPECT_TRUE(why_no_clone(EPERM, "userns-run (unconfined)").contains("chroot"));
  EXPECT_TRUE(why_no_clone(ENOSPC, "session (enforce)").contains("/proc/sys/user"));
  EXPECT_EQ(why_no_clone(ENOMEM, "session (enforce)"), "");
}

}  // namespace
}  // namespace userns::frontend
