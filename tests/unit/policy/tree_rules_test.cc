#include "policy/tree_rules.h"

#include <random>

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::contains;
using test::rule_of;
using test::text_of;

// alice (uid 1000, gid 100) has [100000-165536) and [300000-365536) of both kinds; her tree belongs
// to 100000 on disk and is shown as 300000's.
struct Case {
  OwnedRanges owned;
  TreeFacts facts;

  Case() {
    (void)owned.add(*IdRange::make(100000, 65536), 1);
    (void)owned.add(*IdRange::make(300000, 65536), 2);
    const auto ids = [&](IdKind kind, std::uint64_t own) {
      return TreeIds{kind, own, {*Extent::make(100000, 300000, 65536)}, &owned, "/etc/subuid"};
    };
    facts = {.caller = Uid{1000},
             .userns_owner = Uid{1000},
             .userns_is_child = true,
             .tree_owner = Uid{100000},
             .ids = {ids(IdKind::kUid, 1000), ids(IdKind::kGid, 100)}};
  }
  Case(const Case&) = delete;
  Case& operator=(const Case&) = delete;

  [[nodiscard]] Result<TreeGrant> ask() const { return decide(facts, {}); }
  Result<TreeGrant> ask(std::size_t kind, std::uint64_t disk, std::uint64_t mount,
                        std::uint64_t count) {
    facts.ids.at(kind).map.push_back(*Extent::make(disk, mount, count));
    auto answer = ask();
    facts.ids.at(kind).map.pop_back();
    return answer;
  }
};

TEST(DecideTree, GrantsWhatIsTheCallersOnBothSides) {
  Case c;
  EXPECT_TRUE(c.ask());
  EXPECT_TRUE(c.ask(0, 1000, 365535, 1));  // the own uid on disk
  EXPECT_TRUE(c.ask(1, 165535, 100, 1));   // the own gid in the mount
  EXPECT_FALSE(c.ask()->read_only());
  EXPECT_TRUE(decide(c.facts, {.read_only = true})->read_only());
}

// Rules ID-OWNER and ID-CHILD.
TEST(DecideTree, WantsAUserNamespaceOfTheCallersBelowTheOwn) {
  Case c;
  c.facts.userns_owner = Uid{1001};
  EXPECT_EQ(rule_of(c.ask()), "ID-OWNER");
  c.facts.userns_owner = Uid{1000};
  c.facts.userns_is_child = false;
  EXPECT_EQ(rule_of(c.ask()), "ID-CHILD");
}

// Rules ID-DISK and ID-MOUNT.
TEST(DecideTree, RefusesIdsOfOthersOnEitherSide) {
  Case c;
  for (const std::size_t kind : {0U, 1U}) {
    EXPECT_EQ(rule_of(c.ask(kind, 1001, 300000, 1)), "ID-DISK");
    EXPECT_EQ(rule_of(c.ask(kind, 165535, 300000, 2)), "ID-DISK");
    EXPECT_EQ(rule_of(c.ask(kind, 99999, 300000, 2)), "ID-DISK");
    EXPECT_EQ(rule_of(c.ask(kind, 100000, 1001, 1)), "ID-MOUNT");
    EXPECT_EQ(rule_of(c.ask(kind, 100000, 365535, 2)), "ID-MOUNT");
    EXPECT_EQ(rule_of(c.ask(kind, 100000, kLargestId, 1)), "ID-MOUNT");
  }
  // The own uid is nothing among gids, and the other way round; only one of it.
  EXPECT_EQ(rule_of(c.ask(1, 1000, 300000, 1)), "ID-DISK");
  EXPECT_EQ(rule_of(c.ask(0, 100000, 100, 1)), "ID-MOUNT");
  EXPECT_EQ(rule_of(c.ask(0, 1000, 300000, 2)), "ID-DISK");
  EXPECT_TRUE(contains(text_of(c.ask(0, 1001, 300000, 1)), "uid range [1001-1002) on disk"));
}

// Rule ID-ROOT.
TEST(DecideTree, NeverGivesIdZero) {
  Case c;
  (void)c.owned.add(*IdRange::make(0, 100), 3);  // what an administrator should not have written
  EXPECT_EQ(rule_of(c.ask(0, 0, 300000, 1)), "ID-ROOT");
  EXPECT_EQ(rule_of(c.ask(1, 100000, 0, 5)), "ID-ROOT");
  EXPECT_TRUE(c.ask(1, 100000, 1, 5));
  c.facts.caller = c.facts.userns_owner = Uid{0};
  c.facts.ids[0].own = 0;
  EXPECT_EQ(rule_of(c.ask(0, 0, 300000, 1)), "ID-ROOT");
}

// Rule ID-TREE.
TEST(DecideTree, WantsTheDirectoryToBelongToAnIdOnDisk) {
  Case c;
  for (const std::uint32_t owner : {0U, 1000U, 99999U, 165536U, 300000U, 0xffffffffU}) {
    c.facts.tree_owner = Uid{owner};
    EXPECT_EQ(rule_of(c.ask()), "ID-TREE") << owner;
  }
  c.facts.tree_owner = Uid{1000};
  EXPECT_TRUE(c.ask(0, 1000, 300000, 1));
}

TEST(ParseTreeRequest, TakesItsWordsInOneOrder) {
  const auto parse = [](std::vector<std::string_view> words) { return parse_tree_request(words); };
  const auto request = parse({"--source", "fd:3", "--userns", "fd:4", "--to", "fd:0"});
  ASSERT_TRUE(request) << text_of(request);
  EXPECT_EQ(request->source, 3);
  EXPECT_EQ(request->userns.number, 4);
  EXPECT_EQ(request->to, 0);
  EXPECT_FALSE(request->read_only);
  EXPECT_TRUE(
      parse({"--source", "fd:3", "--userns", "77", "--to", "fd:0", "--read-only"})->read_only);
  // ID-ARGS
  EXPECT_EQ(rule_of(parse({})), "ID-ARGS");
  EXPECT_EQ(rule_of(parse({"--source", "fd:3", "--userns", "fd:4", "--to"})), "ID-ARGS");
  EXPECT_EQ(rule_of(parse({"--source", "3", "--userns", "fd:4", "--to", "fd:5"})), "ID-ARGS");
  EXPECT_EQ(rule_of(parse({"--source", "fd:3", "--userns", "4", "--to", "fd:x"})), "ID-ARGS");
  EXPECT_EQ(rule_of(parse({"--userns", "fd:4", "--source", "fd:3", "--to", "fd:5"})), "ID-ARGS");
  EXPECT_EQ(rule_of(parse({"--source", "fd:3", "--userns", "4", "--to", "fd:5", "-r"})), "ID-ARGS");
  EXPECT_EQ(rule_of(parse({"--source", "fd:3", "--userns", "x", "--to", "fd:5"})), "IM-TARGET");
}

TEST(ParseKernelMap, ReadsWhatTheKernelPrints) {
  const auto map = parse_kernel_map("         0     100000      65536\n     65536       1000 1\n");
  ASSERT_TRUE(map) << text_of(map);
  EXPECT_EQ(*map, (std::vector{*Extent::make(0, 100000, 65536), *Extent::make(65536, 1000, 1)}));
  // ID-MAPS: no map, an id that our user namespace does not have (2^32-1), and other text.
  for (const std::string_view bad : {"", "\n", "0 0\n", "0 4294967295 1\n", "0 1 2 3\n", "a 1 1\n"})
    EXPECT_EQ(rule_of(parse_kernel_map(bad)), "ID-MAPS") << quoted(bad);
  std::string many;
  for (int i = 0; i < 341; ++i) many += concat(2 * i, " ", 2 * i, " 1\n");
  EXPECT_EQ(rule_of(parse_kernel_map(many)), "ID-MAPS");
}

}  // namespace
}  // namespace userns
