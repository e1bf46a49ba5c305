#include "common/capability.h"

#include <grp.h>
#include <sys/prctl.h>

#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::in_child;
using test::rule_of;

bool has(cap_flag_t flag, cap_value_t cap) {
  const cap_t state = ::cap_get_proc();
  cap_flag_value_t value = CAP_CLEAR;
  ::cap_get_flag(state, cap, flag, &value);
  ::cap_free(state);
  return value == CAP_SET;
}

void expect_only(CapSet permitted, CapSet effective) {
  for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; ++cap) {
    const auto bit = std::uint64_t{1} << static_cast<unsigned>(cap);
    EXPECT_EQ(has(CAP_PERMITTED, cap), (permitted.bits & bit) != 0) << cap;
    EXPECT_EQ(has(CAP_EFFECTIVE, cap), (effective.bits & bit) != 0) << cap;
    EXPECT_FALSE(has(CAP_INHERITABLE, cap)) << cap;
    EXPECT_EQ(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0), 0) << cap;
  }
}

TEST(DropAllBut, LeavesTheNeedsPermittedAndNothingEffective) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    // A caller who has something of each kind.
    const gid_t groups[] = {5, 6};
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct set[2] = {};
    ASSERT_TRUE(::setgroups(2, groups) == 0 && ::capget(&header, set) == 0);
    set[0].inheritable = 1U << CAP_CHOWN;
    ASSERT_TRUE(::capset(&header, set) == 0 &&
                ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0);
    ASSERT_EQ(
        rule_of(drop_all_but({.names = {}, .required = {CAP_SETUID}, .wanted = {CAP_AUDIT_WRITE}},
                             Uid{12345})),
        "granted");
    expect_only({CAP_SETUID, CAP_AUDIT_WRITE}, {});
    uid_t real = 0, effective = 0, saved = 0;
    ::getresuid(&real, &effective, &saved);
    EXPECT_TRUE(real == 12345 && effective == 12345 && saved == 12345);
    EXPECT_EQ(::getgroups(0, nullptr), 0);
    EXPECT_EQ(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    EXPECT_EQ(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    EXPECT_EQ(::prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 0);
  });
}

TEST(DropAllBut, ForAnExecLeavesNothingAmbient) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct set[2] = {};
    ASSERT_EQ(::capget(&header, set), 0);
    set[0].inheritable = 1U << CAP_SETUID;
    ASSERT_TRUE(::capset(&header, set) == 0 &&
                ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETUID, 0, 0) == 0);
    ASSERT_TRUE(drop_all_but(
        {.names = {}, .required = {CAP_SETUID}, .wanted = {}, .for_exec = true}, Uid{0}));
    EXPECT_EQ(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_SETUID, 0, 0), 0);
  });
}

TEST(DropAllBut, CannotBeUndone) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_TRUE(drop_all_but({}, Uid{12345}));
    expect_only({}, {});
    EXPECT_NE(::setuid(0), 0);
    EXPECT_NE(::setgroups(0, nullptr), 0);
    EXPECT_FALSE(detail::set_effective({CAP_SYS_ADMIN}) && has(CAP_EFFECTIVE, CAP_SYS_ADMIN));
  });
}

TEST(DropAllBut, OfRootLeavesRootWithTheNeedsAlone) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_TRUE(
        drop_all_but({.names = {}, .required = {CAP_SETGID}, .wanted = {CAP_SETFCAP}}, Uid{0}));
    expect_only({CAP_SETGID, CAP_SETFCAP}, {});
    for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; ++cap) EXPECT_EQ(::cap_get_bound(cap), 0) << cap;
    // No uid changed, so the kernel did not see to it.
    EXPECT_EQ(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
  });
}

// Rule PR-MISSING.
TEST(DropAllBut, NamesARequiredCapabilityThatIsNotThere) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_TRUE(drop_all_but({.names = {}, .required = {CAP_SETUID}, .wanted = {}}, Uid{12345}));
    const auto again = drop_all_but(
        {.names = "CAP_SETUID and CAP_SETGID", .required = {CAP_SETUID, CAP_SETGID}, .wanted = {}},
        Uid{12345});
    EXPECT_EQ(rule_of(again), "PR-MISSING");
    EXPECT_TRUE(test::contains(test::text_of(again), "CAP_SETGID"));
  });
}

TEST(DropAllBut, DoesWithoutAWantedCapability) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_TRUE(drop_all_but({.names = {}, .required = {CAP_SETUID}, .wanted = {}}, Uid{12345}));
    EXPECT_EQ(
        rule_of(drop_all_but({.names = {}, .required = {CAP_SETUID}, .wanted = {CAP_AUDIT_WRITE}},
                             Uid{12345})),
        "granted");
    expect_only({CAP_SETUID}, {});
  });
}

// Rule PR-DROP.
TEST(DropAllBut, FailsWhereTheUidCannotBeHad) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_TRUE(drop_all_but({}, Uid{12345}));
    EXPECT_EQ(rule_of(drop_all_but({}, Uid{54321})), "PR-DROP");
  });
}

TEST(StepDown, MakesAllUidsTheCallersAndKeepsWhatIsPermitted) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_TRUE(
        drop_all_but({.names = {}, .required = {CAP_NET_ADMIN}, .wanted = {}}, Uid{12345}, Uid{0}));
    step_down(Uid{12345});
    uid_t real = 0, effective = 0, saved = 0;
    ::getresuid(&real, &effective, &saved);
    EXPECT_TRUE(real == 12345 && effective == 12345 && saved == 12345);
    expect_only({CAP_NET_ADMIN}, {});
    EXPECT_EQ(::prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 0);
    EXPECT_EQ(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
  });
}

TEST(KeepOnly, GivesUpOneMore) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_TRUE(drop_all_but({.names = {}, .required = {CAP_SETUID, CAP_AUDIT_WRITE}, .wanted = {}},
                             Uid{12345}));
    ASSERT_EQ(rule_of(keep_only({CAP_SETUID, CAP_SETFCAP})), "granted");
    expect_only({CAP_SETUID}, {});
    ASSERT_EQ(rule_of(keep_only({CAP_SETUID})), "granted");
  });
}

TEST(WithCapability, RaisesForTheActAndLowersAfterIt) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_TRUE(drop_all_but({.names = {}, .required = {CAP_SETUID, CAP_AUDIT_WRITE}, .wanted = {}},
                             Uid{12345}));
    const int answer = with_capability({CAP_SETUID}, [] {
      expect_only({CAP_SETUID, CAP_AUDIT_WRITE}, {CAP_SETUID});
      errno = ERANGE;
      return 7;
    });
    EXPECT_EQ(errno, ERANGE) << "the act's errno is kept";
    EXPECT_EQ(answer, 7);
    expect_only({CAP_SETUID, CAP_AUDIT_WRITE}, {});
  });
}

TEST(WithCapability, RunsTheActUnprivilegedWhereItCannotRaise) {
  SKIP_WITHOUT_ROOT();
  in_child([] {
    ASSERT_TRUE(drop_all_but({.names = {}, .required = {CAP_SETUID}, .wanted = {}}, Uid{12345}));
    EXPECT_EQ(with_capability({CAP_SYS_ADMIN},
                              [] {
                                expect_only({CAP_SETUID}, {});
                                return 3;
                              }),
              3);
  });
}

TEST(CapSet, IsASet) {
  constexpr CapSet both{CAP_SETUID, CAP_SETGID};
  CapSet one{CAP_SETUID};
  EXPECT_FALSE(one == both);
  one |= {CAP_SETGID};
  EXPECT_TRUE(one == both);
  EXPECT_TRUE(CapSet{} == CapSet({}));
}

}  // namespace
}  // namespace userns
