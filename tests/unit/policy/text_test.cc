#include "policy/text.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace userns {
namespace {

TEST(ParseDecimal, TakesTheOneSpellingOfANumber) {
  const std::pair<std::string_view, std::uint64_t> good[] = {
      {"0", 0},
      {"1", 1},
      {"10", 10},
      {"2147483648", 1ULL << 31U},
      {"4294967294", 0xfffffffe},
      {"4294967295", 0xffffffff},
      {"4294967296", 1ULL << 32U},
      {"18446744073709551615", ~0ULL},
  };
  for (const auto& [text, value] : good) EXPECT_EQ(parse_decimal(text), value) << text;
}

TEST(ParseDecimal, TakesNothingElseAndSaysWhy) {
  const std::pair<std::string_view, std::string_view> bad[] = {
      {"", "is empty"},
      {"00", "starts with 0 (octal elsewhere): write it in decimal"},
      {"010", "starts with 0 (octal elsewhere): write it in decimal"},
      {"0x10", "is hexadecimal: write it in decimal"},
      {"0X10", "is hexadecimal: write it in decimal"},
      {"-1", "has a sign"},
      {"+1", "has a sign"},
      {" 1", "is not a decimal number"},
      {"1 ", "is not a decimal number"},
      {"1\n", "is not a decimal number"},
      {"1k", "is not a decimal number"},
      {"1.0", "is not a decimal number"},
      {"1e3", "is not a decimal number"},
      {std::string_view("1\0", 2), "is not a decimal number"},
      {"18446744073709551616", "is too large"},
      {"99999999999999999999999", "is too large"},
  };
  for (const auto& [text, why] : bad) {
    EXPECT_EQ(parse_decimal(text), std::nullopt) << text;
    EXPECT_EQ(why_not_decimal(text), why) << text;
  }
}

TEST(ParseDecimal, PrintsBackWhatItRead) {
  for (const std::uint64_t value : {0ULL, 1ULL, 1ULL << 31U, 0xfffffffeULL, 1ULL << 32U, ~0ULL})
    EXPECT_EQ(parse_decimal(concat(value)), value);
}

TEST(Quoted, MakesForeignTextHarmless) {
  EXPECT_EQ(quoted("plain"), "'plain'");
  EXPECT_EQ(quoted(""), "''");
  EXPECT_EQ(quoted("a\nb\x1b[31m"), "'a\\x0ab\\x1b[31m'");
  EXPECT_EQ(quoted("it's \\"), "'it\\x27s \\x5c'");
  EXPECT_EQ(quoted("\xc3\xa9\x7f"), "'\\xc3\\xa9\\x7f'");
}

TEST(Quoted, IsBounded) {
  const std::string huge(100000, 'a');
  const std::string_view most = std::string_view(huge).substr(0, 64);
  EXPECT_EQ(quoted(most), concat('\'', most, '\''));
  EXPECT_EQ(quoted(std::string_view(huge)), concat('\'', most, "...'"));
}

TEST(TakeUntil, SplitsOffTheFirstPart) {
  std::string_view text = "a:b::c";
  EXPECT_EQ(take_until(text, ':'), "a");
  EXPECT_EQ(take_until(text, ':'), "b");
  EXPECT_EQ(take_until(text, ':'), "");
  EXPECT_EQ(take_until(text, ':'), "c");
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(take_until(text, ':'), "");
}

TEST(Cat, JoinsTextCharactersAndNumbers) {
  EXPECT_EQ(concat("fd ", 3, ':', std::string("x"), -1, 18446744073709551615ULL),
            "fd 3:x-118446744073709551615");
}

}  // namespace
}  // namespace userns
