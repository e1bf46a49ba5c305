#include "policy/idmap_rules.h"

#include <algorithm>
#include <bitset>
#include <random>

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::contains;
using test::rule_of;
using test::text_of;

// alice (uid 1000, gid 100) with two lines, and a target of hers that nothing speaks against.
struct Case {
  OwnedRanges owned;
  MapFacts facts;

  Case() {
    (void)owned.add(*IdRange::make(100000, 65536), 3);
    (void)owned.add(*IdRange::make(300000, 10), 7);
    facts = {.kind = IdKind::kUid,
             .caller_uid = Uid{1000},
             .caller_gid = Gid{100},
             .caller_name = "alice",
             .target_uid = Uid{1000},
             .target_gid = Gid{100},
             .owned = &owned,
             .owned_source = "/etc/subuid",
             .skipped = nullptr};
  }
  Case(const Case&) = delete;
  Case& operator=(const Case&) = delete;

  [[nodiscard]] Result<MapGrant> ask(std::vector<Extent> extents) const {
    return decide(facts, *IdMap::from_extents(std::move(extents)));
  }
  [[nodiscard]] Result<MapGrant> ask(std::uint64_t outside, std::uint64_t count) const {
    return ask({*Extent::make(0, outside, count)});
  }
};

TEST(Decide, GrantsWhatIsDelegated) {
  const Case c;
  const auto grant = c.ask({*Extent::make(0, 100000, 65536), *Extent::make(65536, 300000, 10),
                            *Extent::make(70000, 1000, 1)});
  ASSERT_TRUE(grant) << text_of(grant);
  EXPECT_EQ(grant->map().extents().size(), 3U);
  EXPECT_FALSE(grant->deny_setgroups());
  EXPECT_FALSE(grant->needs_setfcap());
}

// Rule IM-OWNER.
TEST(Decide, WantsTheTargetToBeTheCallersByUidAndGid) {
  Case c;
  c.facts.target_uid = Uid{1001};
  EXPECT_EQ(rule_of(c.ask(100000, 1)), "IM-OWNER");
  c.facts.target_uid = Uid{1000};
  c.facts.target_gid = Gid{101};
  EXPECT_EQ(rule_of(c.ask(100000, 1)), "IM-OWNER");
}

// Rule IM-GROUP.
TEST(Decide, GivesDelegatedIdsToThePrimaryGroupAlone) {
  Case c;
  c.facts.group_may_delegate = false;
  for (const auto kind : {IdKind::kUid, IdKind::kGid}) {
    c.facts.kind = kind;
    const auto own = kind == IdKind::kUid ? 1000U : 100U;
    EXPECT_EQ(rule_of(c.ask(100000, 1)), "IM-GROUP");
    EXPECT_EQ(rule_of(c.ask({*Extent::make(0, 100000, 10), *Extent::make(10, own, 1)})),
              "IM-GROUP");
    EXPECT_EQ(rule_of(c.ask(own, 1)), "granted");
  }
}

// Rule IM-ROOT.
TEST(Decide, GivesTheHostsRootToRootAlone) {
  Case c;
  (void)c.owned.add(*IdRange::make(0, 10), 8);
  for (const auto kind : {IdKind::kUid, IdKind::kGid}) {
    c.facts.kind = kind;
    EXPECT_EQ(rule_of(c.ask(0, 1)), "IM-ROOT") << "even where a line gives it";
    EXPECT_EQ(rule_of(c.ask(0, 10)), "IM-ROOT");
    EXPECT_EQ(rule_of(c.ask(1, 9)), "granted");
  }
  c.facts.caller_uid = c.facts.target_uid = Uid{0};
  EXPECT_EQ(rule_of(c.ask(0, 10)), "granted");
  EXPECT_TRUE(c.ask(0, 1)->needs_setfcap());
  EXPECT_FALSE(c.ask(1, 1)->needs_setfcap());
}

TEST(Decide, ACallerOfGidZeroDoesNotGetGidZero) {
  Case c;
  c.facts.kind = IdKind::kGid;
  c.facts.caller_gid = c.facts.target_gid = Gid{0};
  EXPECT_EQ(rule_of(c.ask(0, 1)), "IM-ROOT");
}

// Rule IM-RANGE.
TEST(Decide, RefusesWhatIsNotDelegatedAndSaysWhatIs) {
  const Case c;
  for (const auto& [outside, count] : {std::pair{99999ULL, 1ULL},
                                       {99999ULL, 2ULL},
                                       {165535ULL, 2ULL},
                                       {165536ULL, 1ULL},
                                       {300009ULL, 2ULL},
                                       {100000ULL, 200001ULL},
                                       {1000ULL, 2ULL},
                                       {999ULL, 1ULL},
                                       {1001ULL, 1ULL},
                                       {kLargestId, 1ULL},
                                       {1ULL, kLargestId}})
    EXPECT_EQ(rule_of(c.ask(outside, count)), "IM-RANGE") << outside << "+" << count;
  EXPECT_TRUE(contains(text_of(c.ask(165536, 65537)),
                       "uid range [0-65537) -> [165536-231073) not allowed: alice has "
                       "[100000-165536) (/etc/subuid:3), "
                       "[300000-300010) (/etc/subuid:7)"));
}

TEST(Decide, OneBadTripleSpoilsAll) {
  const Case c;
  EXPECT_EQ(rule_of(c.ask({*Extent::make(0, 100000, 10), *Extent::make(10, 200000, 1)})),
            "IM-RANGE");
}

TEST(Decide, OwnIdIsOfTheMapsKindAndOnlyOne) {
  Case c;
  EXPECT_EQ(rule_of(c.ask(1000, 1)), "granted");
  EXPECT_EQ(rule_of(c.ask(100, 1)), "IM-RANGE") << "the gid as a uid";
  c.facts.kind = IdKind::kGid;
  EXPECT_EQ(rule_of(c.ask(100, 1)), "granted");
  EXPECT_EQ(rule_of(c.ask(1000, 1)), "IM-RANGE") << "the uid as a gid";
}

TEST(Decide, DeniesSetgroupsUnlessAGidWasDelegated) {
  Case c;
  c.facts.kind = IdKind::kGid;
  EXPECT_TRUE(c.ask(100, 1)->deny_setgroups()) << "only the own gid";
  EXPECT_FALSE(c.ask(100000, 1)->deny_setgroups());
  EXPECT_FALSE(c.ask({*Extent::make(0, 100, 1), *Extent::make(1, 100000, 1)})->deny_setgroups());
  (void)c.owned.add(*IdRange::make(100, 1), 9);
  EXPECT_FALSE(c.ask(100, 1)->deny_setgroups()) << "the own gid is delegated too";
  c.facts.kind = IdKind::kUid;
  EXPECT_FALSE(c.ask(1000, 1)->deny_setgroups()) << "no matter of uids";
}

TEST(Decide, SaysWhatIsWrongWithTheCallersLines) {
  OwnedRanges none;
  Case c;
  c.facts.owned = &none;
  EXPECT_TRUE(contains(text_of(c.ask(5, 1)), "alice has no range in /etc/subuid"));
  const SubidScanner::Skipped skipped{4, "has count 0"};
  c.facts.skipped = &skipped;
  EXPECT_TRUE(contains(text_of(c.ask(5, 1)), "line 4 grants nothing: it has count 0"));
  c.facts.caller_name = "";
  EXPECT_TRUE(contains(text_of(c.ask(5, 1)), "uid 1000 has no range"));
}

// The promise of the whole: against an oracle that knows nothing but a bitmap, from file text to
// grant.
TEST(Decide, NeverGrantsAnIdOutsideTheUnionOfTheCallersLines) {
  constexpr std::uint64_t kUniverse = 64;
  std::mt19937_64 random(4711);  // NOLINT: the same cases each time
  int granted = 0;
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::uint64_t bases[] = {0, 1, 990, (1ULL << 31U) - 32, kLargestId + 1 - kUniverse};
    const auto base = bases[random() % 5];
    std::bitset<kUniverse> mine;
    std::string file;
    for (auto lines = random() % 6; lines > 0; --lines) {
      const auto first = random() % kUniverse;
      const auto count = random() % std::min<std::uint64_t>(40, kUniverse - first + 1);
      constexpr const char* kOwners[] = {"alice", "1000", "bob", "alice2", "100"};
      const auto owner = random() % 5;
      const bool odd = random() % 8 == 0;
      file += concat(kOwners[owner], ":", base + first, ":", count, odd ? " \n" : "\n");
      if (owner < 2 && !odd)
        for (auto i = first; i < first + count; ++i) mine.set(static_cast<std::size_t>(i));
    }
    SubidScanner scanner("alice", Uid{1000});
    for (std::string_view rest = file; !rest.empty();) {
      const auto size = std::min(rest.size(), static_cast<std::size_t>(1 + random() % 20));
      scanner.feed(rest.substr(0, size));
      rest.remove_prefix(size);
    }
    ASSERT_TRUE(scanner.finish());

    std::vector<Extent> extents;
    bool may = true;
    for (std::uint64_t wanted = 1 + random() % 3, inside = 0; wanted > 0;
         --wanted, inside += kUniverse) {
      const auto first = random() % kUniverse;
      const auto count = 1 + random() % std::min<std::uint64_t>(random() % 2 == 0 ? 3 : kUniverse,
                                                                kUniverse - first);
      extents.push_back(*Extent::make(inside, base + first, count));
      bool all = true;
      for (auto i = first; i < first + count; ++i)
        all = all && mine.test(static_cast<std::size_t>(i));
      may = may && (all || (count == 1 && base + first == 1000)) && base + first != 0;
    }
    const auto request = IdMap::from_extents(extents);
    if (!request) continue;  // an overlap: not this test's
    const MapFacts facts{.kind = IdKind::kUid,
                         .caller_uid = Uid{1000},
                         .caller_gid = Gid{100},
                         .caller_name = "alice",
                         .target_uid = Uid{1000},
                         .target_gid = Gid{100},
                         .owned = &scanner.ranges(),
                         .owned_source = "/etc/subuid",
                         .skipped = &scanner.skipped()};
    const auto grant = decide(facts, *request);
    ASSERT_EQ(grant.has_value(), may) << file << request->kernel_text() << text_of(grant);
    (grant ? granted : refused) += 1;
  }
  EXPECT_GT(granted, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace userns
