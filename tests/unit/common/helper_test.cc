#include "common/helper.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::in_child;
using test::rule_of;

constexpr StartupLimits kLimits{.most_args = 4, .longest_arg = 5};

Result<std::vector<std::string_view>> with(std::vector<const char*> words,
                                           std::vector<int> keep = {}) {
  words.push_back(nullptr);
  return sanitise(static_cast<int>(words.size()) - 1, const_cast<char**>(words.data()), kLimits,
                  keep);
}

TEST(Sanitise, GivesTheArgumentsBack) {
  in_child([] {
    const auto args = with({"prog", "", "12345"});
    ASSERT_TRUE(args);
    EXPECT_EQ(*args, (std::vector<std::string_view>{"", "12345"}));
  });
}

// Rule ST-ARGS.
TEST(Sanitise, BoundsTheArguments) {
  in_child([] { EXPECT_EQ(rule_of(with({})), "ST-ARGS"); });
  in_child([] { EXPECT_EQ(rule_of(with({"prog", "1", "2", "3"})), "granted"); });
  in_child([] { EXPECT_EQ(rule_of(with({"prog", "1", "2", "3", "4"})), "ST-ARGS"); });
  in_child([] { EXPECT_EQ(rule_of(with({"prog", "123456"})), "ST-ARGS"); });
  in_child([] { EXPECT_EQ(rule_of(with({"a program's own name of any length"})), "granted"); });
}

TEST(Sanitise, OpensStandardFdsOnDevNull) {
  in_child([] {
    // gtest would write to 1: nothing is expected until it is back.
    const int kept = ::fcntl(1, F_DUPFD_CLOEXEC, 100);
    for (int fd = 0; fd < 3; ++fd) ::close(fd);
    const bool good = with({"prog"}, {kept}).has_value();
    std::array<struct stat, 4> facts{};
    bool all = true;
    for (int fd = 0; fd < 3; ++fd)
      all = all && ::fstat(fd, &facts[static_cast<std::size_t>(fd)]) == 0;
    ::stat("/dev/null", &facts[3]);
    ::dup2(kept, 1);
    EXPECT_TRUE(good && all);
    for (int fd = 0; fd < 3; ++fd)
      EXPECT_EQ(facts[static_cast<std::size_t>(fd)].st_rdev, facts[3].st_rdev);
  });
}

TEST(Sanitise, ClosesEveryFdButTheNamedOne) {
  for (const int keep : {3, 4, 57, 600})
    in_child([keep] {
      for (const int fd : {3, 4, 5, 56, 57, 58, 600, 601}) ::dup2(0, fd);
      ASSERT_TRUE(with({"prog"}, {keep}));
      for (int fd = 3; fd < 700; ++fd) EXPECT_EQ(::fcntl(fd, F_GETFD) >= 0, fd == keep) << fd;
      for (int fd = 0; fd < 3; ++fd) EXPECT_GE(::fcntl(fd, F_GETFD), 0);
    });
}

TEST(Sanitise, ClosesEveryFdButThoseNamedInAnyOrder) {
  in_child([] {
    for (int fd = 3; fd < 20; ++fd) ::dup2(0, fd);
    ASSERT_TRUE(with({"prog"}, {12, 0, 5, 12, -1, 3, 6}));
    for (int fd = 3; fd < 20; ++fd)
      EXPECT_EQ(::fcntl(fd, F_GETFD) >= 0, fd == 3 || fd == 5 || fd == 6 || fd == 12) << fd;
  });
}

TEST(Sanitise, IsNotFooledByANamedFdThatIsNotOpen) {
  in_child([] {
    for (const int fd : {10, 12}) ::dup2(0, fd);
    ::close(11);
    ASSERT_TRUE(with({"prog"}, {11}));
    for (const int fd : {10, 11, 12}) EXPECT_LT(::fcntl(fd, F_GETFD), 0);
  });
  in_child([] { EXPECT_TRUE(with({"prog"}, {2147483647})); });
}

TEST(Sanitise, EmptiesWhatTheCallerArranged) {
  in_child([] {
    ::setenv("LD_PRELOAD", "x", 1);
    ::umask(0);
    ASSERT_TRUE(with({"prog"}));
    EXPECT_EQ(::getenv("LD_PRELOAD"), nullptr);
    EXPECT_EQ(::getenv("PATH"), nullptr);
    EXPECT_EQ(::umask(0), 077U);
    std::array<char, 16> cwd{};
    EXPECT_STREQ(::getcwd(cwd.data(), cwd.size()), "/");
  });
}

// Of all else that a caller may have set nothing depends.
TEST(Sanitise, ResetsWhatAWaitDependsOn) {
  in_child([] {
    ::signal(SIGCHLD, SIG_IGN);
    ::prctl(PR_SET_TIMERSLACK, 1'000'000'000UL, 0, 0, 0);
    ASSERT_TRUE(with({"prog"}));
    struct sigaction now{};
    ::sigaction(SIGCHLD, nullptr, &now);
    EXPECT_EQ(now.sa_handler, SIG_DFL);
    EXPECT_EQ(::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 50'000);
  });
}

TEST(Sanitise, RaisesTheSoftLimitsThatWouldMakeItRefuse) {
  in_child([] {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    const rlimit few{20, files.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    ASSERT_TRUE(with({"prog"}));
    rlimit now{};
    ::getrlimit(RLIMIT_NOFILE, &now);
    EXPECT_EQ(now.rlim_cur, files.rlim_max);
  });
}

// Rule ST-STATE.
TEST(Sanitise, FailsWhereAStepThatMustSucceedDoesNot) {
  in_child([] {
    // With no fd to be had /dev/null cannot be opened, and the hard limit cannot be raised.
    const int kept = ::fcntl(1, F_DUPFD_CLOEXEC, 100);
    for (int fd = 0; fd < 3; ++fd) ::close(fd);
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_NOFILE, &none);
    const auto rule = rule_of(with({"prog"}));
    ::dup2(kept, 1);
    EXPECT_EQ(rule, "ST-STATE");
  });
}

TEST(RawArg, IsEmptyWhereThereIsNone) {
  const char* words[] = {"prog", "one", nullptr};
  EXPECT_EQ(raw_arg(2, const_cast<char**>(words), 1), "one");
  EXPECT_EQ(raw_arg(2, const_cast<char**>(words), 2), "");
  EXPECT_EQ(raw_arg(0, const_cast<char**>(words + 2), 1), "");
}

}  // namespace
}  // namespace userns
