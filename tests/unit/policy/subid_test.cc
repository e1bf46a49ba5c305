#include "policy/subid.h"

#include <bitset>
#include <random>

#include "policy/text.h"
#include "tests/unit/expect.h"

namespace userns {
namespace {

using test::contains;
using test::rule_of;
using test::text_of;

std::string show(const OwnedRanges& owned) {
  std::string text;
  for (const auto range : owned.ranges()) text += concat(range.first(), "+", range.count(), " ");
  return text;
}

std::string scan(std::string_view file, std::string_view name = "alice", std::uint32_t uid = 1000) {
  SubidScanner scanner(name, Uid{uid});
  scanner.feed(file);
  const auto finished = scanner.finish();
  return finished ? show(scanner.ranges()) : std::string(finished.error().rule);
}

// --- OwnedRanges ------------------------------------------------------------------------------

TEST(OwnedRanges, UnitesWhatTouches) {
  OwnedRanges owned;
  const auto add = [&](std::uint64_t first, std::uint64_t count) {
    return owned.add(*IdRange::make(first, count), 1);
  };
  EXPECT_TRUE(add(100, 10));
  EXPECT_TRUE(add(120, 10));
  EXPECT_EQ(show(owned), "100+10 120+10 ");
  EXPECT_TRUE(add(110, 10));
  EXPECT_EQ(show(owned), "100+30 ");
  EXPECT_TRUE(add(50, 200));
  EXPECT_EQ(show(owned), "50+200 ");
  EXPECT_TRUE(add(60, 1));
  EXPECT_TRUE(add(0, 1));
  EXPECT_TRUE(add(kLargestId, 1));
  EXPECT_EQ(show(owned), "0+1 50+200 4294967294+1 ");
  EXPECT_TRUE(add(0, kLargestId + 1));
  EXPECT_EQ(show(owned), "0+4294967295 ");
}

TEST(OwnedRanges, IsTheUnionOfItsRangesWhateverTheOrder) {
  constexpr std::uint64_t kUniverse = 96;
  std::mt19937_64 random(20240607);  // NOLINT: the same cases each time
  for (int round = 0; round < 3000; ++round) {
    const std::uint64_t bases[] = {0, (1ULL << 31U) - 48, kLargestId + 1 - kUniverse};
    const auto base = bases[random() % 3];
    std::bitset<kUniverse> oracle;
    OwnedRanges owned;
    for (auto n = random() % 12; n > 0; --n) {
      const auto first = random() % kUniverse;
      const auto count = 1 + random() % std::min<std::uint64_t>(24, kUniverse - first);
      ASSERT_TRUE(owned.add(*IdRange::make(base + first, count), n));
      for (auto i = first; i < first + count; ++i) oracle.set(static_cast<std::size_t>(i));
    }
    for (std::size_t i = 1; i < owned.ranges().size(); ++i)
      ASSERT_LT(owned.ranges()[i - 1].end(), owned.ranges()[i].first()) << "sorted and apart";
    for (int ask = 0; ask < 40; ++ask) {
      const auto first = random() % kUniverse;
      const auto count = 1 + random() % (kUniverse - first);
      bool all = true;
      for (auto i = first; i < first + count; ++i)
        all = all && oracle.test(static_cast<std::size_t>(i));
      ASSERT_EQ(owned.covers(*IdRange::make(base + first, count)), all)
          << show(owned) << base + first << "+" << count;
    }
  }
}

// Rule SU-MANY.
TEST(OwnedRanges, HoldsExactly1024SeparateRanges) {
  OwnedRanges owned;
  for (std::uint64_t i = 0; i < OwnedRanges::kMaxSeparate; ++i)
    ASSERT_TRUE(owned.add(*IdRange::make(10 * i, 1), i + 1));
  EXPECT_FALSE(owned.add(*IdRange::make(5, 1), 2000)) << "one more";
  EXPECT_EQ(owned.ranges().size(), OwnedRanges::kMaxSeparate);
  EXPECT_TRUE(owned.add(*IdRange::make(1, 1), 2001)) << "one that touches makes none more";
  EXPECT_TRUE(owned.add(*IdRange::make(0, 20000), 2002)) << "one that unites them all";
  EXPECT_EQ(show(owned), "0+20000 ");
}

TEST(OwnedRanges, KeepsOnlyTheFirstLinesForMessages) {
  OwnedRanges owned;
  for (std::uint64_t i = 1; i <= 100; ++i) ASSERT_TRUE(owned.add(*IdRange::make(10 * i, 1), i));
  EXPECT_EQ(owned.lines(), 100U);
  ASSERT_EQ(owned.shown().size(), OwnedRanges::kMaxShown);
  EXPECT_EQ(owned.shown().front().line, 1U);
  EXPECT_EQ(owned.shown().back().line, OwnedRanges::kMaxShown);
}

// --- one line ---------------------------------------------------------------------------------

TEST(SubidLine, HasThreeFields) {
  const auto line = parse_subid_line("alice:100000:65536");
  ASSERT_TRUE(line) << text_of(line);
  EXPECT_EQ(line->owner, "alice");
  EXPECT_EQ(line->range, *IdRange::make(100000, 65536));
  for (const std::string_view good : {"1000:0:1", "a:0:4294967295", "a b:1:1",
                                      "al.ice-2$:4294967294:1", "a:2147483648:2147483647"})
    EXPECT_EQ(rule_of(parse_subid_line(good)), "granted") << good;
}

// Rule SU-LINE.
TEST(SubidLine, IsRefusedWhereAnythingIsOdd) {
  const std::pair<std::string_view, std::string_view> bad[] = {
      {"", "owner:start:count"},
      {"alice", "owner:start:count"},
      {"alice:1", "owner:start:count"},
      {"alice:1:2:3", "owner:start:count"},
      {"alice:1:2:", "owner:start:count"},
      {":1:2", "no owner"},
      {"alice::2", "is empty"},
      {"alice:1:", "is empty"},
      {"alice:01:2", "octal"},
      {"alice:0x1:2", "hexadecimal"},
      {"alice:1:0x2", "hexadecimal"},
      {"alice:-1:2", "sign"},
      {"alice:+1:2", "sign"},
      {"alice:1:-1", "sign"},
      {"alice: 1:2", "decimal"},
      {"alice:1:2 ", "decimal"},
      {"alice:1:2\r", "decimal"},
      {"alice:1:2 # comment", "decimal"},
      {"alice:1:0", "count 0"},
      {"alice:0:0", "count 0"},
      {"alice:1:4294967295", "id space"},
      {"alice:0:4294967296", "id space"},
      {"alice:4294967294:2", "id space"},
      {"alice:4294967295:1", "id space"},
      {"alice:4294967296:1", "id space"},
      {"alice:18446744073709551615:2", "id space"},
      {"alice:18446744073709551616:1", "too large"},
      {"alice:1:18446744073709551615", "id space"},
  };
  for (const auto& [line, why] : bad) {
    const auto parsed = parse_subid_line(line);
    EXPECT_EQ(rule_of(parsed), "SU-LINE") << line;
    EXPECT_TRUE(contains(text_of(parsed), why)) << line;
  }
  EXPECT_EQ(rule_of(parse_subid_line(std::string_view("alice:1:2\0", 10))), "SU-LINE");
  EXPECT_EQ(rule_of(parse_subid_line(std::string_view("alice:1\0:2", 10))), "SU-LINE");
}

// --- a file -----------------------------------------------------------------------------------

TEST(SubidScanner, TakesTheOwnersLinesByNameAndByUid) {
  constexpr std::string_view kFile =
      "bob:1:1\nalice:10:5\n1000:20:5\nalicea:30:5\nalic:40:5\n10000:50:5\n100:60:5\nAlice:70:5\n "
      "alice:80:5\nalice:90:5\n";
  EXPECT_EQ(scan(kFile), "10+5 20+5 90+5 ");
  EXPECT_EQ(scan(kFile, "", 1000), "20+5 ") << "a uid without a name";
  EXPECT_EQ(scan(kFile, "carol", 7), "");
  EXPECT_EQ(scan(":1:1\n", "", 0), "") << "an empty owner is nobody";
}

TEST(SubidScanner, ANameOfDigitsIsNotAnotherUsersUid) {
  // useradd refuses such names; the file gives them what it says, to both readings.
  EXPECT_EQ(scan("1000:5:1\n", "2000", 1000), "5+1 ");
  EXPECT_EQ(scan("2000:5:1\n", "2000", 1000), "5+1 ");
}

TEST(SubidScanner, TakesALastLineWithoutNewline) {
  EXPECT_EQ(scan("alice:10:5"), "10+5 ");
  EXPECT_EQ(scan("bob:1:1\nalice:10:5"), "10+5 ");
  EXPECT_EQ(scan(""), "");
  EXPECT_EQ(scan("\n\n\n"), "");
}

TEST(SubidScanner, SkipsMalformedLinesAndRemembersTheFirst) {
  SubidScanner scanner("alice", Uid{1000});
  scanner.feed("bob:x\n# comment\nalice:10:5\r\nalice:0x10:5\nalice:20:5\n");
  ASSERT_TRUE(scanner.finish());
  EXPECT_EQ(show(scanner.ranges()), "20+5 ");
  EXPECT_EQ(scanner.skipped().line, 3U);
  EXPECT_TRUE(contains(scanner.skipped().why, "\\x0d"));
  EXPECT_EQ(scanner.ranges().shown()[0].line, 5U);
}

TEST(SubidScanner, IsTheSameHoweverTheFileIsCut) {
  const std::string file =
      concat("bob:1:1\nalice:10:5\n\n1000:30:5\nalice:x:1\n", std::string_view("al\0ice:1:1\n", 11),
             "alicia:1:1\nalice:50:5:\nalice:4294967290:5\nalice:70:5");
  const std::string whole = scan(file);
  EXPECT_EQ(whole, "10+5 30+5 70+5 4294967290+5 ");
  for (std::size_t first = 0; first <= file.size(); ++first)
    for (std::size_t second = first; second <= file.size(); ++second) {
      SubidScanner scanner("alice", Uid{1000});
      const std::string_view text = file;
      scanner.feed(text.substr(0, first));
      scanner.feed(text.substr(first, second - first));
      scanner.feed(text.substr(second));
      ASSERT_TRUE(scanner.finish());
      ASSERT_EQ(show(scanner.ranges()), whole) << first << ", " << second;
      ASSERT_EQ(scanner.skipped().line, 5U) << first << ", " << second;
      ASSERT_EQ(scanner.ranges().shown()[2].line, 9U) << first << ", " << second;
    }
  SubidScanner bytewise("alice", Uid{1000});
  for (const char& c : file) bytewise.feed({&c, 1});
  ASSERT_TRUE(bytewise.finish());
  EXPECT_EQ(show(bytewise.ranges()), whole);
}

TEST(SubidScanner, TreatsALongLineAlikeHoweverItIsCut) {
  // shadow reads lines of up to 1023 bytes; what lies beyond must never turn into a line of its
  // own.
  for (const std::size_t length :
       {1000UL, 1021UL, 1022UL, 1023UL, 1024UL, 1025UL, 2048UL, 5000UL}) {
    const std::string tail = ":7:1";
    const std::string name(length - tail.size(), 'a');
    const std::string file =
        concat(name, tail, "\nalice:10:5\n", std::string(length, 'x'), "alice:99:1\nalice:20:5\n");
    const auto whole = scan(file);
    EXPECT_EQ(whole, "10+5 20+5 ") << length;
    const auto as_long_name = scan(file, name, 1);
    EXPECT_EQ(as_long_name, length <= 1023 ? "7+1 " : "") << length;
    for (std::size_t cut = 0; cut <= file.size(); cut += 1) {
      SubidScanner scanner("alice", Uid{1000});
      scanner.feed(std::string_view(file).substr(0, cut));
      scanner.feed(std::string_view(file).substr(cut));
      ASSERT_TRUE(scanner.finish());
      ASSERT_EQ(show(scanner.ranges()), whole) << length << " cut at " << cut;
      SubidScanner long_name(name, Uid{1});
      long_name.feed(std::string_view(file).substr(0, cut));
      long_name.feed(std::string_view(file).substr(cut));
      ASSERT_TRUE(long_name.finish());
      ASSERT_EQ(show(long_name.ranges()), as_long_name) << length << " cut at " << cut;
    }
  }
}

// Rule SU-MANY.
TEST(SubidScanner, RefusesMoreThan1024SeparateRanges) {
  std::string file;
  for (int i = 0; i < 1024; ++i)
    file += concat("alice:", 100000 + 10 * i, ":5\nbob:", 5 + 10 * i, ":1\n");
  EXPECT_TRUE(contains(scan(file), "110230+5"));
  EXPECT_EQ(scan(file + "alice:100000:3\n").substr(0, 9), "100000+5 ")
      << "a line that makes none more";
  EXPECT_EQ(scan(file + "alice:1:1\n"), "SU-MANY");
  EXPECT_EQ(scan(file + "alice:1:1\nalice:1:200000\n"), "SU-MANY") << "later lines do not heal it";
}

// --- nsswitch.conf ------------------------------------------------------------------------------

TEST(NssSubidSource, IsTheFirstWordAfterSubid) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"", "files"},
      {"passwd: sss files\n", "files"},
      {"subid: files\n", "files"},
      {"subid: sss\n", "sss"},
      {"subid:sss", "sss"},
      {"passwd: files\nsubid:\t sss files\n", "sss"},
      {"subid: files sss\n", "files"},
      {"SubID: sss\n", "sss"},
      {"#subid: sss\n", "files"},
      {"subid: sss# comment\n", "sss"},
      {"subid: # sss\n", "files"},
      {"subid:\n", "files"},
      {"subids: sss\n", "files"},
      {" subid: sss\n", "files"},
      {"subid sss\n", "files"},
      {"subid: sss\r\n", "sss"},
  };
  for (const auto& [text, source] : rows) EXPECT_EQ(nss_subid_source(text), source) << text;
}

}  // namespace
}  // namespace userns
