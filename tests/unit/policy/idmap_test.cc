#include "policy/idmap.h"

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::contains;
using test::rule_of;
using test::text_of;

Result<IdMap> parse(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) words.push_back(take_until(line, ' '));
  return IdMap::parse(words);
}

// `count` extents of one id each that do not touch: inside and outside 2i.
std::string separate(std::size_t count, std::uint64_t base = 0) {
  std::string line;
  for (std::size_t i = 0; i < count; ++i)
    line += concat(i == 0 ? "" : " ", base + 2 * i, " ", base + 2 * i + 1, " 1");
  return line;
}

TEST(IdMap, KeepsTheTriplesAsGiven) {
  const auto map = parse("0 100000 65536 65536 1000 1");
  ASSERT_TRUE(map) << text_of(map);
  ASSERT_EQ(map->extents().size(), 2U);
  EXPECT_EQ(map->extents()[0], *Extent::make(0, 100000, 65536));
  EXPECT_EQ(map->extents()[1], *Extent::make(65536, 1000, 1));
  EXPECT_EQ(map->kernel_text(), "0 100000 65536\n65536 1000 1\n");
}

TEST(IdMap, PrintsWhatItParses) {
  for (const std::string_view line :
       {"0 0 1", "0 100000 65536 65536 1000 1", "4294967294 2147483648 1", "0 1 4294967294"}) {
    const auto map = parse(line);
    ASSERT_TRUE(map) << text_of(map);
    std::string printed = map->kernel_text();
    for (char& c : printed)
      if (c == '\n') c = ' ';
    printed.pop_back();
    EXPECT_EQ(printed, line);
  }
}

// Rule IM-ARGS.
TEST(IdMap, IsMadeOfWholeTriples) {
  for (const std::string_view line : {"", "0", "0 1", "0 1 2 3", "0 1 2 3 4"})
    EXPECT_EQ(rule_of(parse(line)), "IM-ARGS");
  EXPECT_EQ(rule_of(IdMap::from_extents({})), "IM-ARGS");
}

// Rule IM-NUMBER.
TEST(IdMap, TakesStrictDecimalsOnly) {
  for (const std::string_view bad :
       {"010", "0x10", "-1", "+1", "1k", "", "1.5", "18446744073709551616", "\n1"})
    for (int at = 0; at < 3; ++at) {
      std::vector<std::string_view> words{"1", "1", "1"};
      words[static_cast<std::size_t>(at)] = bad;
      EXPECT_EQ(rule_of(IdMap::parse(words)), "IM-NUMBER") << bad << " at " << at;
    }
  EXPECT_TRUE(contains(text_of(parse("0 0100000 1")), "octal"));
}

// Rule IM-BOUNDS.
TEST(IdMap, StaysWithinTheIdSpace) {
  struct Row {
    const char* line;
    bool good;
  };
  const Row rows[] = {
      {"0 0 0", false},
      {"0 100000 0", false},
      {"0 0 1", true},
      {"0 0 4294967295", true},
      {"0 0 4294967296", false},
      {"0 1 4294967295", false},
      {"1 0 4294967295", false},
      {"1 1 4294967294", true},
      {"0 2147483648 2147483647", true},
      {"0 2147483648 2147483648", false},
      {"2147483647 2147483648 2147483647", true},
      {"4294967294 0 1", true},
      {"4294967295 0 1", false},
      {"0 4294967294 1", true},
      {"0 4294967294 2", false},
      {"0 4294967295 1", false},
      {"0 4294967296 1", false},
      {"4294967296 0 1", false},
      {"0 18446744073709551615 1", false},
      {"18446744073709551615 0 18446744073709551615", false},
      {"0 1 18446744073709551615", false},
  };
  for (const auto& [line, good] : rows)
    EXPECT_EQ(rule_of(parse(line)), good ? "granted" : "IM-BOUNDS") << line;
  EXPECT_TRUE(contains(text_of(parse("0 100000 0")), "has count 0: a range maps at least one id"));
}

// Rule IM-OVERLAP.
TEST(IdMap, MapsNoIdTwiceAndNamesBothTriples) {
  const auto inside = parse("0 100 10 20 300 1 9 200 10");
  EXPECT_EQ(rule_of(inside), "IM-OVERLAP");
  EXPECT_TRUE(contains(text_of(inside), "triples 1 and 3"));
  EXPECT_TRUE(contains(text_of(inside), "inside"));
  const auto outside = parse("0 100 10 20 109 10");
  EXPECT_EQ(rule_of(outside), "IM-OVERLAP");
  EXPECT_TRUE(contains(text_of(outside), "[0-10) -> [100-110)"));
  EXPECT_TRUE(contains(text_of(outside), "[20-30) -> [109-119)"));
  EXPECT_EQ(rule_of(parse("0 100 10 10 110 10")), "granted");
  EXPECT_EQ(rule_of(parse("0 0 1 0 0 1")), "IM-OVERLAP");
}

// Rule IM-EXTENTS.
TEST(IdMap, KeepsToTheKernelsLimits) {
  EXPECT_EQ(rule_of(parse(separate(340))), "granted");
  EXPECT_EQ(rule_of(parse(separate(341))), "IM-EXTENTS");
  std::vector<Extent> many;
  for (std::uint64_t i = 0; i < 341; ++i) many.push_back(*Extent::make(2 * i, 2 * i, 1));
  EXPECT_EQ(rule_of(IdMap::from_extents(many)), "IM-EXTENTS");
  many.pop_back();
  EXPECT_EQ(rule_of(IdMap::from_extents(many)), "granted");
}

TEST(IdMap, MayBe4095BytesOfTextAndNotOneMore) {
  // A line with two ten-digit ids and count 1 is 24 bytes: 170 are 4080, and one of 15 more fills
  // up.
  const std::string most = separate(170, 3000000000);
  EXPECT_EQ(parse(most)->kernel_text().size(), 4080U);
  const auto full = parse(concat(most, " 0 1234567890 1"));
  ASSERT_TRUE(full) << text_of(full);
  EXPECT_EQ(full->kernel_text().size(), kMaxMapBytes);
  const auto more = parse(concat(most, " 10 1234567890 1"));
  EXPECT_EQ(rule_of(more), "IM-EXTENTS");
  EXPECT_TRUE(contains(text_of(more), "4096 bytes"));
}

TEST(IdMap, KnowsWhetherTheHostsRootIsInIt) {
  EXPECT_NE(parse("5 0 1")->outside_root(), nullptr);
  EXPECT_NE(parse("0 5 1 1 0 2")->outside_root(), nullptr);
  EXPECT_EQ(parse("0 1 5")->outside_root(), nullptr);
}

TEST(IdMap, RangesReadAsHalfOpenIntervals) {
  EXPECT_EQ(to_text(*IdRange::make(100000, 65536)), "[100000-165536)");
  EXPECT_EQ(to_text(*Extent::make(0, 100000, 2)), "[0-2) -> [100000-100002)");
}

}  // namespace
}  // namespace userns
