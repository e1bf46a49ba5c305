#include "common/caller_process.h"

#include <sys/prctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "common/capability.h"
#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::in_child;
using test::rule_of;

constexpr Needs kNeeds{.names = {}, .required = {CAP_SETUID}, .wanted = {}, .for_exec = true};

std::string ids_and_capabilities() {
  uid_t real = 0, effective = 0, saved = 0;
  ::getresuid(&real, &effective, &saved);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct set[2] = {};
  ::capget(&header, set);
  return concat(real, " ", effective, " ", saved, " ", set[0].permitted | set[1].permitted, " ",
                set[0].effective | set[1].effective);
}

TEST(CallerProcess, SetsAsideWhatTheCallerLeft) {
  in_child([] {
    ::setenv("LD_PRELOAD", "x", 1);
    ::umask(0);
    ASSERT_TRUE(CallerProcess::begin());
    EXPECT_EQ(environ == nullptr || *environ == nullptr, true);
    EXPECT_EQ(::umask(0), 022U);
    sigset_t now;
    ::sigprocmask(SIG_SETMASK, nullptr, &now);
    for (const int number : {SIGINT, SIGTERM, SIGTSTP, SIGHUP})
      EXPECT_EQ(::sigismember(&now, number), 1) << number;
  });
}

// Rule ST-EXEC.
TEST(CallerProcess, SaysThatACommandCannotBeExecuted) {
  in_child([] {
    const auto process = CallerProcess::begin();
    ASSERT_TRUE(process);
    // The words have to be where the kernel laid them: in the place of this program's name.
    const std::string command = "/nowhere";
    ASSERT_GE(std::strlen(program_invocation_name), command.size());
    std::memcpy(program_invocation_name, command.c_str(), command.size() + 1);
    char* argv[] = {program_invocation_name, nullptr};
    const auto error = process->exec(argv);
    EXPECT_EQ(error.rule, kExecFailed);
    EXPECT_EQ(error.code, ENOENT);
    EXPECT_TRUE(test::contains(error.text, "'/nowhere'"));
  });
}

// Rule PR-DROP.
TEST(BecomeForGood, LeavesNothing) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_TRUE(drop_all_but(kNeeds, Uid{0}));
    ASSERT_TRUE(become_for_good(Uid{1234}));
    EXPECT_EQ(ids_and_capabilities(), "1234 1234 1234 0 0");
    EXPECT_NE(::setresuid(0, 0, 0), 0);
    EXPECT_EQ(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0)
        << "it would disarm what the command needs";
  });
  in_child([] {
    ASSERT_TRUE(drop_all_but(kNeeds, Uid{0}));
    ASSERT_TRUE(become_for_good(Uid{0}));
    EXPECT_EQ(ids_and_capabilities(), "0 0 0 0 0")
        << "where the caller is root, the uids take nothing away";
  });
  in_child([] {
    ASSERT_TRUE(drop_all_but({.for_exec = true}, Uid{1}));
    EXPECT_EQ(rule_of(become_for_good(Uid{1234})), "PR-DROP") << "CAP_SETUID is gone";
  });
}

TEST(StepDownForGood, LeavesNothingEvenWhereTheUidStays) {
  SKIP_WITHOUT_ROOT();
  for (const std::uint32_t uid : {0U, 1234U})
    in_child([&] {
      ASSERT_TRUE(drop_all_but(kNeeds, Uid{0}));
      ASSERT_TRUE(step_down_for_good(Uid{uid}));
      EXPECT_EQ(ids_and_capabilities(), concat(uid, " ", uid, " ", uid, " 0 0"));
    });
  in_child([] {
    ASSERT_TRUE(drop_all_but({.for_exec = true}, Uid{1}));
    EXPECT_EQ(rule_of(step_down_for_good(Uid{1234})), "PR-DROP") << "CAP_SETUID is gone";
  });
}

}  // namespace
}  // namespace userns
