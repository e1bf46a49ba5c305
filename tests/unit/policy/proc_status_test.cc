#include "policy/proc_status.h"

#include <gtest/gtest.h>

namespace userns {
namespace {

constexpr std::string_view kStatus =
    "Name:\tUid:\t0 x\nState:\tS "
    "(sleeping)\nTgid:\t42\nPid:\t43\nUid:\t1000\t1001\t1002\t1003\nEmpty:\t\nNoColon\n";

TEST(ProcField, FindsALineByItsWholeKey) {
  EXPECT_EQ(proc_field(kStatus, "State"), "S (sleeping)");
  EXPECT_EQ(proc_field(kStatus, "Pid"), "43");
  EXPECT_EQ(proc_field(kStatus, "Empty"), "");
  EXPECT_EQ(proc_field(kStatus, "Pi"), std::nullopt);
  EXPECT_EQ(proc_field(kStatus, "id"), std::nullopt);
  EXPECT_EQ(proc_field("", "Pid"), std::nullopt);
  EXPECT_EQ(proc_field("Pid", "Pid"), "");
}

TEST(ProcField, IsNotFooledByAProcessNamedLikeAField) {
  EXPECT_EQ(proc_field(kStatus, "Uid"), "1000\t1001\t1002\t1003");
}

TEST(ProcField, TakesTheFirstOfTwoAndALineWithoutNewline) {
  EXPECT_EQ(proc_field("Pid:\t1\nPid:\t2\n", "Pid"), "1");
  EXPECT_EQ(proc_field("flags:\t02\nPid:\t7", "Pid"), "7");
}

TEST(ProcNumber, IsTheFirstNumberOfTheLine) {
  EXPECT_EQ(proc_number(kStatus, "Uid"), 1000U);
  EXPECT_EQ(proc_number("Pid:\t4294967295\n", "Pid"), 4294967295U);
  for (const std::string_view bad :
       {"Pid:\t-1\n", "Pid:\t\n", "Pid:\tx\n", "Pid:\t1x\n", "Pid:\t01\n", ""})
    EXPECT_EQ(proc_number(bad, "Pid"), std::nullopt) << bad;
}

}  // namespace
}  // namespace userns
