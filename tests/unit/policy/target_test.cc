#include "policy/target.h"

#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::rule_of;

TEST(Target, IsADecimalPidOrAnInheritedFd) {
  for (const auto& [text, pid] : {std::pair{"1", 1}, {"4711", 4711}, {"2147483647", 2147483647}}) {
    const auto target = parse_target(text);
    ASSERT_TRUE(target) << text;
    ASSERT_TRUE(target->kind == Target::Kind::kPid) << text;
    EXPECT_EQ(target->number, pid);
  }
  for (const auto& [text, fd] :
       {std::pair{"fd:0", 0}, {"fd:3", 3}, {"fd:2147483647", 2147483647}}) {
    const auto target = parse_target(text);
    ASSERT_TRUE(target) << text;
    ASSERT_TRUE(target->kind == Target::Kind::kFd) << text;
    EXPECT_EQ(target->number, fd);
  }
}

// Rule IM-TARGET.
TEST(Target, IsNothingElse) {
  for (const std::string_view text : {"",
                                      "0",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "0x1",
                                      "1.",
                                      "2147483648",
                                      "4294967297",
                                      "18446744073709551617",
                                      "self",
                                      "fd:",
                                      "fd",
                                      "fd:-1",
                                      "fd: 1",
                                      "fd:01",
                                      "fd:2147483648",
                                      "FD:1",
                                      "fd:1x",
                                      "pid:1",
                                      "/proc/1",
                                      "1\n"})
    EXPECT_EQ(rule_of(parse_target(text)), "IM-TARGET") << text;
  EXPECT_EQ(rule_of(parse_target(std::string_view("1\0", 2))), "IM-TARGET");
}

TEST(Target, HintsAtWhatIsWrong) {
  EXPECT_TRUE(test::contains(test::text_of(parse_target("0x10")), "hexadecimal"));
  EXPECT_TRUE(test::contains(test::text_of(parse_target("010")), "octal"));
  EXPECT_TRUE(test::contains(test::text_of(parse_target("a\033b")), "'a\\x1bb'"));
}

}  // namespace
}  // namespace userns
