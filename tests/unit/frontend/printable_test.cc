#include "frontend/spec/printable.h"

#include <string>

#include "frontend/spec/config_file.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

TEST(Printable, WhatShowsSomethingStays) {
  for (const char* text : {"plain ~ text", "Zürich", "日本語", "עברית", "a🙂b", "é"})
    EXPECT_EQ(printable(text), text);
}

TEST(Printable, WhatATerminalObeysGoes) {
  EXPECT_EQ(printable("a\x1b[2Jb\r\n\t\x7f"), "a?[2Jb????");
  EXPECT_EQ(printable("a\xc2\x9b"
                      "2Jb\xc2\x80\xc2\x9f"),
            "a?2Jb??")
      << "U+009B is ESC [";
  EXPECT_EQ(printable("a\x9b"
                      "2J"),
            "a?2J")
      << "in eight bits";
}

TEST(Printable, WhatTurnsOrHidesATextGoes) {
  EXPECT_EQ(printable("a\xe2\x80\xae"
                      "b"),
            "a?b")
      << "U+202E";
  EXPECT_EQ(printable("a\xe2\x81\xa6"
                      "b\xe2\x81\xa9"),
            "a?b?")
      << "U+2066, U+2069";
  EXPECT_EQ(printable("\xe2\x80\x8b\xef\xbb\xbf\xe2\x80\xa8\xd8\x9c"), "????");
  EXPECT_EQ(printable("\xf3\xa0\x81\x81"), "?") << "a tag";
}

TEST(Printable, WhatIsNoUtf8Goes) {
  EXPECT_EQ(printable("\xff\xfe"), "??");
  EXPECT_EQ(printable("\xc0\xaf"), "??") << "an overlong /";
  EXPECT_EQ(printable("\xe0\x80\x9b"), "???") << "an overlong U+001B";
  EXPECT_EQ(printable("\xed\xa0\x80"), "?") << "half of a pair";
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "?") << "beyond Unicode";
  EXPECT_EQ(printable("a\xe2\x82"), "a??") << "cut off";
}

TEST(Printable, LinesKeepTheirEnds) { EXPECT_EQ(printable_lines("a\tb\n\x1b\r\n"), "a\tb\n??\n"); }

TEST(Printable, AByteIsAColumn) { EXPECT_EQ(printable_bytes("a\tb\xc3\xbc\x1b"), "a b???"); }

// What a config file keeps is the same text, in a spelling that is safe to be shown.
TEST(Printable, AConfigFileSpellsThemInHex) {
  ConfigFile config;
  const std::string value =
      "A=\xc2\x9b"
      "2J \xe2\x80\xae \xff ü \"q\" \\";
  ASSERT_TRUE(config.add("env", value));
  EXPECT_EQ(printable_lines(config.text()), config.text());
  const auto again = ConfigFile::parse(config.text(), "c");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->settings().front().value, value);
}

}  // namespace
}  // namespace userns::frontend
