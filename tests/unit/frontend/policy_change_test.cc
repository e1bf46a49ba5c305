#include "frontend/policy_tool/check/change.h"
#include "frontend/policy_tool/record.h"
#include "frontend/policy_tool/verbs/desired.h"

#include <gtest/gtest.h>

#include <array>

#include "frontend/policy_tool/check/free_range.h"
#include "frontend/policy_tool/check/subid_change.h"
#include "frontend/policy_tool/replace.h"
#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;

const std::vector<std::string> kAlice{"alice", "1000"};
const std::vector<std::string> kStaff{"@staff"};
const std::vector<std::string> kEveryone{"*"};

// A policy of one file.
template <class Change>
Result<std::string> changed(PolicyFile kind, std::string_view text, const Change& change) {
  PolicyText file{kind, kind == PolicyFile::kNet ? "net.conf" : "cgroup.conf", std::string(text)};
  const auto done = change(std::span(&file, 1));
  return done ? Result<std::string>(file.text) : std::unexpected(done.error());
}
Result<std::string> grant_net(std::string_view text, Who who, std::string_view wish) {
  return changed(PolicyFile::kNet, text,
                 [&](ChangedTexts files) { return frontend::grant_net(files, who, wish); });
}
Result<std::string> revoke_net(std::string_view text, Who who, std::string_view bridge) {
  return changed(PolicyFile::kNet, text,
                 [&](ChangedTexts files) { return frontend::revoke_net(files, who, bridge); });
}
Result<std::string> grant_cgroup(std::string_view text, Who who,
                                 std::span<const std::string> settings) {
  return changed(PolicyFile::kCgroup, text,
                 [&](ChangedTexts files) { return frontend::grant_cgroup(files, who, settings); });
}
Result<std::string> revoke_cgroup(std::string_view text, Who who,
                                  std::span<const std::string> keys) {
  return changed(PolicyFile::kCgroup, text,
                 [&](ChangedTexts files) { return frontend::revoke_cgroup(files, who, keys); });
}

std::string desired(const std::array<std::string_view, 4>& texts) {
  const PolicyText net{PolicyFile::kNet, "net.conf", std::string(texts[2])},
      cgroup{PolicyFile::kCgroup, "cgroup.conf", std::string(texts[3])};
  return to_desired({texts[0], texts[1], {&net, 1}, {&cgroup, 1}});
}

// A policy of several files, the texts of which `change` makes what it returns, with "|" between.
template <class Change>
std::string changed_set(PolicyFile kind, std::vector<std::string> texts, const Change& change) {
  std::vector<PolicyText> files;
  for (auto& text : texts) files.push_back({kind, concat("f", files.size()), std::move(text)});
  const auto done = change(std::span(files));
  std::string all = done ? "" : concat("failed: ", done.error().text, " ");
  for (const auto& file : files) all += concat(file.text, "|");
  return all;
}

IdRange range(std::uint64_t first, std::uint64_t count) { return *IdRange::make(first, count); }

TEST(FreeRange, IsTheLowestThatOverlapsNothing) {
  EXPECT_EQ(find_free(10, range(100, 100), {}), range(100, 10));
  EXPECT_EQ(find_free(10, range(100, 100), {range(0, 101)}), range(101, 10));
  EXPECT_EQ(find_free(10, range(100, 100), {range(109, 1)}), range(110, 10));
  EXPECT_EQ(find_free(10, range(100, 100), {range(110, 50)}), range(100, 10));
  EXPECT_EQ(find_free(10, range(100, 100), {range(150, 5), range(100, 41)}), range(155, 10));
  // Overlapping and contained ones, in any order.
  EXPECT_EQ(find_free(10, range(100, 100), {range(105, 1), range(100, 60), range(120, 5)}),
            range(160, 10));
}

TEST(FreeRange, IsNoneWhereTheIdsDoNotSuffice) {
  EXPECT_EQ(find_free(101, range(100, 100), {}), std::nullopt);
  EXPECT_EQ(find_free(100, range(100, 100), {range(150, 1)}), std::nullopt);
  EXPECT_EQ(find_free(1, range(100, 100), {range(0, 1000)}), std::nullopt);
  EXPECT_EQ(find_free(10, range(kLargestId - 9, 10), {}), range(kLargestId - 9, 10));
  EXPECT_EQ(find_free(10, range(kLargestId - 9, 10), {range(kLargestId, 1)}), std::nullopt);
}

// Every id of the sides is free but those of the texts.
struct Sides {
  IdFacts facts;
  std::vector<LivingIds> living;

  [[nodiscard]] Result<std::vector<NewRange>> plan(std::string_view uids, std::string_view gids,
                                                   std::uint64_t count,
                                                   std::optional<std::uint64_t> first = {}) const {
    const SubidSide sides[] = {{IdKind::kUid, uids, &facts, living},
                               {IdKind::kGid, gids, &facts, living}};
    return plan_ids(sides, {kAlice, count, first});
  }
};

TEST(PlanIds, GivesTheSameNumbersBehindAllThatWereGiven) {
  const Sides sides;
  const auto plan = sides.plan("bob:100000:10\n", "bob:200000:10\n", 50);
  ASSERT_TRUE(plan) << text_of(plan);
  ASSERT_EQ(plan->size(), 2U);
  EXPECT_EQ((*plan)[0].range, range(200010, 50));
  EXPECT_EQ((*plan)[1].range, range(200010, 50));
  EXPECT_TRUE(sides.plan("alice:1:60\n", "1000:1:50\n", 50)->empty());
}

TEST(PlanIds, TakesAFreedPlaceOnlyWhereNothingElseIsLeft) {
  Sides sides;
  sides.facts.delegable = range(100, 100);
  EXPECT_EQ(sides.plan("bob:140:10\n", "", 50)->at(0).range, range(150, 50));
  EXPECT_EQ(sides.plan("bob:160:10\n", "", 50)->at(0).range, range(100, 50));
  EXPECT_TRUE(contains(text_of(sides.plan("bob:140:20\n", "", 50)), "no 50 ids in a row"));
}

TEST(PlanIds, HoldsWhatShadowObeysAndWhatLives) {
  Sides sides;
  EXPECT_EQ(sides.plan("bob:0x186a0:010\n", "", 50)->at(0).range, range(100008, 50));
  EXPECT_EQ(sides.plan("bob:100000:5:x\n", "", 50)->at(0).range, range(100005, 50));
  sides.living = {{range(100020, 1), 7, "sh"}};
  EXPECT_EQ(sides.plan("", "", 50)->at(0).range, range(100021, 50));
  EXPECT_TRUE(contains(text_of(sides.plan("", "", 50, 100000)), "process 7 ('sh')"));
}

TEST(PlanIds, GivesAReservedPlaceOnlyToWhoAsksForIt) {
  Sides sides;
  sides.facts.reserved = {{range(100000, 1000), Severity::kWarning, "x", "ids of machines"},
                          {range(200000, 1000), Severity::kError, "x", "ids of accounts"}};
  EXPECT_EQ(sides.plan("", "", 50)->at(0).range, range(101000, 50));
  EXPECT_EQ(sides.plan("", "", 50, 100500)->at(0).range, range(100500, 50));
  EXPECT_TRUE(contains(text_of(sides.plan("", "", 50, 200500)), "ids of accounts"));
  sides.facts.delegable = range(100000, 1020);
  EXPECT_TRUE(contains(text_of(sides.plan("", "", 50)), "100000 to 100999 are ids of machines"));
}

TEST(Diff, IsAHunkWithThreeLinesAround) {
  EXPECT_EQ(diff("f", "a\n", "a\n"), "");
  EXPECT_EQ(diff("f", "", "a\n"), "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+a\n");
  EXPECT_EQ(diff("f", "1\n2\n3\n4\n5\n", "1\n2\n3\n4\n5\n6\n"),
            "--- f\n+++ f\n@@ -3,3 +3,4 @@\n 3\n 4\n 5\n+6\n");
  EXPECT_EQ(diff("f", "a", "a\nb\n"),
            "--- f\n+++ f\n@@ -1,1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n");
  EXPECT_EQ(diff("f", "a\na\n", "a\n"), "--- f\n+++ f\n@@ -1,2 +1,1 @@\n a\n-a\n");
}

TEST(ChangeNet, KeepsWhatItDoesNotChange) {
  struct Row {
    std::string_view before, wish, after;
  };
  const Row rows[] = {
      {"", "br0:2", "alice  veth  br0  2\n"},
      {"# x", "br0:2", "# x\nalice  veth  br0  2\n"},
      {"alice\tveth br0 1\t# c\nbob veth br0 1\n", "br0:2",
       "alice  veth  br0  2\t# c\nbob veth br0 1\n"},
      {"1000 veth br0 1", "br0:1,mtu=1400", "alice  veth  br0  1  mtu=1400"},
      {"alice veth br0 1 vlan=3 isolated=yes\n", "br0:2",
       "alice  veth  br0  2  vlan=3 isolated=yes\n"},
      {"alice veth br0 1 vlan=3 mtu=1400\n", "br0:1,vlan=4",
       "alice  veth  br0  1  vlan=4 mtu=1400\n"},
      {"alice veth br0 1\n", "br0:0", "alice  veth  br0  0\n"},
      {"1000   veth br0 1   isolated=yes", "br0:1,isolated=yes",
       "1000   veth br0 1   isolated=yes"},
      // Of each setting there is, not only of some.
      {"alice veth br0 1\n", "br0:1,ip=10.9.0.16/28,fd09::10/124",
       "alice  veth  br0  1  ip=10.9.0.16/28,fd09::10/124\n"},
      {"alice veth br0 1 group=7 rate=5mbit\n", "br0:1,rate=9mbit",
       "alice  veth  br0  1  group=7 rate=9mbit\n"},
      {"alice veth br0 1 dns=10.0.0.1\n", "br0:1,dns=10.0.0.1,10.0.0.2",
       "alice  veth  br0  1  dns=10.0.0.1,10.0.0.2\n"},
      {"alice veth br0 1 guard=no\n", "br0:1,guard=yes", "alice  veth  br0  1  guard=yes\n"},
      {"alice veth br1 1\n", "br0:1", "alice veth br1 1\nalice  veth  br0  1\n"},
  };
  for (const auto& row : rows) {
    const auto after = grant_net(row.before, kAlice, row.wish);
    ASSERT_TRUE(after) << text_of(after);
    EXPECT_EQ(*after, row.after);
    EXPECT_EQ(grant_net(*after, kAlice, row.wish).value_or(""), row.after) << "is done twice";
  }
}

TEST(ChangeNet, RefusesWhatIsNoLine) {
  for (const auto wish : {"", "br0", "br0:", ":1", "br0:01", "br0:1,", "br0:1,mtu", "br0:1,mtu=1",
                          "br0:1 mtu=1400", "br0:1#", "a b:1"})
    EXPECT_FALSE(grant_net("", kAlice, wish).has_value() && std::string_view(wish) != "br0:1,")
        << wish;
  EXPECT_TRUE(contains(text_of(grant_net("x\n", kAlice, "br0:1")), "net.conf:1:"));
}

TEST(ChangeNet, TakesAllLinesForABridge) {
  EXPECT_EQ(revoke_net("alice veth br0 1\n# k\n1000 veth br0 2\nbob veth br0 1\nalice veth br1 1",
                       kAlice, "br0")
                .value_or("?"),
            "# k\nbob veth br0 1\nalice veth br1 1");
  EXPECT_EQ(revoke_net("bob veth br0 1\n", kAlice, "br0").value_or("?"), "bob veth br0 1\n");
}

TEST(ChangeCgroup, PutsALineWhereItDecides) {
  const std::string one[] = {"pids.max=5"};
  EXPECT_EQ(grant_cgroup("@a pids.max=1\n* pids.max=2\n", kAlice, one).value_or("?"),
            "alice pids.max=5\n@a pids.max=1\n* pids.max=2\n");
  EXPECT_EQ(grant_cgroup("@a pids.max=1\n* pids.max=2\n", kStaff, one).value_or("?"),
            "@a pids.max=1\n@staff pids.max=5\n* pids.max=2\n");
  EXPECT_EQ(grant_cgroup("@a pids.max=1", kEveryone, one).value_or("?"),
            "@a pids.max=1\n* pids.max=5\n");
  EXPECT_EQ(grant_cgroup("", kAlice, one).value_or("?"), "alice pids.max=5\n");
}

TEST(ChangeCgroup, SetsKeysInPlace) {
  const std::string before = "  1000  pids.max=1   memory.max=1G io.max=8:0,rbps=1  # c\n";
  const std::string two[] = {"memory.max=2G", "io.max=8:1,rbps=2"};
  EXPECT_EQ(grant_cgroup(before, kAlice, two).value_or("?"),
            "  1000  pids.max=1   memory.max=2G io.max=8:0,rbps=1 io.max=8:1,rbps=2  # c\n");
  const std::string device[] = {"io.max=8:0,wbps=3"};
  EXPECT_EQ(grant_cgroup(before, kAlice, device).value_or("?"),
            "  1000  pids.max=1   memory.max=1G io.max=8:0,wbps=3  # c\n");
  for (const auto* const bad : {"pids.max", "pids.max=", "x=1", "pids.max=1 memory.max=2",
                                "pids.max=0", "memory.max=1#", "pids.max=1\n*"}) {
    const std::string words[] = {bad};
    EXPECT_FALSE(grant_cgroup(before, kAlice, words)) << bad;
  }
}

TEST(ChangeCgroup, TakesKeysAndThenTheLine) {
  const std::string before = "alice pids.max=1   memory.max=1G # c\n* pids.max=9\n";
  const std::string pids[] = {"pids.max"}, both[] = {"memory.max", "pids.max"}, all[] = {"all"},
                    other[] = {"depth"}, bad[] = {"nokey"};
  EXPECT_EQ(revoke_cgroup(before, kAlice, pids).value_or("?"),
            "alice   memory.max=1G # c\n* pids.max=9\n");
  EXPECT_EQ(revoke_cgroup(before, kAlice, both).value_or("?"), "* pids.max=9\n");
  EXPECT_EQ(revoke_cgroup(before, kAlice, all).value_or("?"), "* pids.max=9\n");
  EXPECT_EQ(revoke_cgroup(before, kAlice, other).value_or("?"), before);
  EXPECT_FALSE(revoke_cgroup(before, kAlice, bad));
}

TEST(Desired, IsReadAndWrittenTheSame) {
  const std::string_view text =
      "# x\nalice  ids 65536 from 100000\nbob  net br0:1,mtu=1400 br1:0\n@lab  cgroup pids.max=5\n"
      "carol ids none\n";
  const auto read = read_desired("f", text);
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 4U);
  EXPECT_EQ((*read)[0].ids, 65536U);
  EXPECT_EQ((*read)[0].first, 100000U);
  EXPECT_EQ((*read)[1].words, (std::vector<std::string>{"br0:1,mtu=1400", "br1:0"}));
  EXPECT_EQ((*read)[3].ids, 0U);
  EXPECT_EQ((*read)[3].number, 5U);
  const auto written = desired({"alice:100000:65536\n", "alice:100000:65536\n",
                                "bob veth br0 1 mtu=1400 # y\nbob veth br1 0\nbob veth br0 2\n",
                                "@lab pids.max=5\n@lab pids.max=6\nbase = /sys/fs/cgroup/x\n"});
  EXPECT_NE(written.find("bob  net br0:1,mtu=1400 br1:0\n"), std::string::npos) << written;
  EXPECT_NE(written.find("# net.conf:3: a second line for bob on br0"), std::string::npos);
  EXPECT_NE(written.find("# cgroup.conf:2: a second line for @lab"), std::string::npos);
  EXPECT_TRUE(read_desired("f", written)) << written;
}

TEST(Desired, DifferentNumbersOfUidsAndGidsAreAComment) {
  EXPECT_NE(desired({"a:5:1\n", "a:6:1\n", "", ""}).find("# a: "), std::string::npos);
}

TEST(Record, SaysWhatWasThereBeforeAndIsThereAfter) {
  EXPECT_EQ(change_words("grant a", "/etc/subuid", "b:1:2\n# x\n", "# x\nb:1:2\na:5:6\n"),
            "file=/etc/subuid command=grant%20a before= after=a:5:6");
  EXPECT_EQ(change_words("edit", "/e", "a b\na b\n", "a b\nc|d%'\n"),
            "file=/e command=edit before=a%20b after=c%7Cd%25%27");
  // A text cannot end the record, or begin another.
  const auto words =
      change_words("x rule=none\n", "/e", "", "y rule=none end=granted\nz\x01\x80\n");
  EXPECT_EQ(words.find("rule=none end"), std::string::npos);
  EXPECT_NE(words.find("z%01%80"), std::string::npos);
  const auto many = change_words("x", "/e", "", std::string(5000, 'q') + "\n");
  EXPECT_LT(many.size(), 1200U);
  EXPECT_NE(many.find("...1%20lines"), std::string::npos);
}

TEST(ChangeOfSeveralFiles, PutsANetLineIntoTheFirstAndChangesOneWhereItStands) {
  const auto grant = [](std::vector<std::string> texts, std::string_view wish) {
    return changed_set(PolicyFile::kNet, std::move(texts), [&](ChangedTexts files) {
      return frontend::grant_net(files, kAlice, wish);
    });
  };
  EXPECT_EQ(grant({"bob veth br0 1\n", "bob veth br1 1\n"}, "br0:2"),
            "bob veth br0 1\nalice  veth  br0  2\n|bob veth br1 1\n|");
  EXPECT_EQ(grant({"bob veth br0 1\n", "# k\nalice veth br0 1 mtu=1400 # x"}, "br0:2"),
            "bob veth br0 1\n|# k\nalice  veth  br0  2  mtu=1400 # x|");
  EXPECT_TRUE(contains(grant({"alice veth br0 1\n", "1000 veth br0 1\n"}, "br0:2"), "2 lines"));
  EXPECT_TRUE(contains(grant({"", "x\n"}, "br0:2"), "f1:1:"));
  const auto revoke = [](ChangedTexts files) { return frontend::revoke_net(files, kAlice, "br0"); };
  EXPECT_EQ(
      changed_set(PolicyFile::kNet,
                  {"1000 veth br0 1\n# a\nalice veth br0 1\n", "alice veth br0 2\n# b\n"}, revoke),
      "# a\n|# b\n|");
  const auto set = [](ChangedTexts files) { return frontend::set_net(files, kAlice, "br0:3"); };
  EXPECT_EQ(changed_set(PolicyFile::kNet,
                        {"", "alice veth br0 1 mtu=1400 # x\n", "1000 veth br0 2\n"}, set),
            "|alice  veth  br0  3 # x\n||");
}

TEST(ChangeOfSeveralFiles, PutsACgroupLineWhereItDecides) {
  const auto grant = [](std::vector<std::string> texts, Who who) {
    const std::vector<std::string> settings{"pids.max=5"};
    return changed_set(PolicyFile::kCgroup, std::move(texts), [&](ChangedTexts files) {
      return frontend::grant_cgroup(files, who, settings);
    });
  };
  // Before the first wider line, in its file.
  EXPECT_EQ(grant({"bob pids.max=1\n", "bob depth=1\n@a pids.max=2\n", "* depth=2\n"}, kAlice),
            "bob pids.max=1\n|bob depth=1\nalice pids.max=5\n@a pids.max=2\n|* depth=2\n|");
  // One that is there, and decides, stays.
  EXPECT_EQ(grant({"", "1000 depth=3\n", "* depth=2\n"}, kAlice),
            "|1000 depth=3 pids.max=5\n|* depth=2\n|");
  // One behind a wider line goes before it.
  EXPECT_EQ(grant({"* depth=2\n", "alice depth=3\n"}, kAlice),
            "alice depth=3 pids.max=5\n* depth=2\n||");
  EXPECT_EQ(grant({"# a\n@a depth=2\n", "x depth=1\nalice depth=3\n"}, kAlice),
            "# a\nalice depth=3 pids.max=5\n@a depth=2\n|x depth=1\n|");
  // Without a wider line a user's goes to the first file; a group's takes from nobody behind it.
  EXPECT_EQ(grant({"bob depth=1\n", "carol depth=1\n"}, kAlice),
            "bob depth=1\nalice pids.max=5\n|carol depth=1\n|");
  EXPECT_EQ(grant({"bob depth=1\n", "carol depth=1\n"}, kStaff),
            "bob depth=1\n|carol depth=1\n@staff pids.max=5\n|");
  EXPECT_EQ(grant({"bob depth=1\n", "carol depth=1\n"}, kEveryone),
            "bob depth=1\n|carol depth=1\n* pids.max=5\n|");
}

TEST(ChangeOfSeveralFiles, LeavesAllAsTheyWereWhereItFails) {
  const std::vector<std::string> settings{"pids.max=5"};
  const auto grant = [&](ChangedTexts files) {
    return frontend::grant_cgroup(files, kAlice, settings);
  };
  const auto after =
      changed_set(PolicyFile::kCgroup, {"base = /a\nalice depth=2\n", "base = /b\n"}, grant);
  EXPECT_TRUE(contains(after, "f1:1:8: base is given twice")) << after;
  EXPECT_TRUE(contains(after, " base = /a\nalice depth=2\n|base = /b\n|")) << after;
}

}  // namespace
}  // namespace userns::frontend
