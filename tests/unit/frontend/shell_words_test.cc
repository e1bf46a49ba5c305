#include "frontend/spec/shell_words.h"

#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using test::contains;
using test::text_of;
using Many = std::vector<std::string>;

TEST(ShellWords, BlanksQuotesAndBackslashes) {
  const std::pair<std::string_view, Many> table[]{
      {"", {}},
      {"  \t ", {}},
      {"a b\tc", {"a", "b", "c"}},
      {"sh -c 'echo \"$HOME\"; exit'", {"sh", "-c", "echo \"$HOME\"; exit"}},
      {R"("a b"'c d'\ e f)", {"a bc d e", "f"}},
      {R"("a\"b\\c" '\n')", {"a\"b\\c", "\\n"}},
      {"''", {""}},
      {"a '' b", {"a", "", "b"}},
  };
  for (const auto& [text, words] : table) {
    const auto got = split_words(text);
    ASSERT_TRUE(got) << text;
    EXPECT_EQ(*got, words) << text;
  }
}

TEST(ShellWords, WhatIsNotClosedIsSaid) {
  EXPECT_TRUE(contains(text_of(split_words("a 'b")), "single quote"));
  EXPECT_TRUE(contains(text_of(split_words("a \"b\\\"")), "double quote"));
  EXPECT_TRUE(contains(text_of(split_words("a\\")), "backslash"));
}

TEST(ShellWords, JoinedWordsComeApartAgain) {
  const Many words{"", "a", "it's", "a b", "\n", "$x", "\\", "\"", "-c", "é", "'"};
  EXPECT_EQ(*split_words(join_words(words)), words);
  EXPECT_EQ(join_words(Many{"/bin/sh", "-c", "a b"}), "/bin/sh -c 'a b'");
}

}  // namespace
}  // namespace userns::frontend
