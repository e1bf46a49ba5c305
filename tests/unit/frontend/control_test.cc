#include "frontend/monitor/control.h"

#include "frontend/container/console.h"
#include "frontend/monitor/console/ring.h"
#include "tests/unit/expect.h"

namespace userns::frontend {
namespace {

using namespace std::literals;

TEST(Request, is_read_back_as_it_was_said) {
  for (const std::string_view text :
       {"init"sv, "wait"sv, "ready"sv, "console -"sv, "console 24x80"sv, "console - leash"sv,
        "stop 0"sv, "stop 0 keep"sv, "stop 10000"sv, "exec-long"sv, "exec\0\0sh\0"sv,
        "exec\0TERM=x\0A=\0\0sh\0-c\0\0"sv}) {
    const auto request = parse_request(text);
    ASSERT_TRUE(request) << text;
    EXPECT_EQ(to_text(*request), text);
  }
}

TEST(Request, of_exec_keeps_empty_words) {
  const auto request = parse_request("exec\0A=1\0\0sh\0\0x\0"sv);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->environment, std::vector{"A=1"s});
  EXPECT_EQ(request->words, (std::vector{"sh"s, ""s, "x"s}));
}

TEST(Request, of_other_words_is_refused) {
  for (const std::string_view text : {""sv,
                                      "\0"sv,
                                      "init "sv,
                                      "init\0"sv,
                                      "Init"sv,
                                      "console"sv,
                                      "console 24"sv,
                                      "console 24x"sv,
                                      "console 24x80x1"sv,
                                      "console 65536x1"sv,
                                      "console -1x1"sv,
                                      "stop"sv,
                                      "stop "sv,
                                      "stop -1"sv,
                                      "stop keep"sv,
                                      "stop 99999999999999999999"sv,
                                      "exec"sv,
                                      "exec "sv,
                                      "exec\0"sv,
                                      "exec\0A=1"sv,
                                      "exec\0A=1\0"sv,
                                      "exec\0\0"sv})
    EXPECT_FALSE(parse_request(text)) << text;
}

TEST(Ring, remembers_the_last_bytes) {
  Ring ring(8);
  EXPECT_EQ(ring.begin(), 0U);
  ring.append("abc");
  EXPECT_EQ(ring.after(0, 100), "abc");
  EXPECT_EQ(ring.after(1, 1), "b");
  ring.append("defghij");
  EXPECT_EQ(ring.end(), 10U);
  EXPECT_EQ(ring.begin(), 2U);
  std::string all;
  for (auto at = ring.begin(); at < ring.end(); at += ring.after(at, 3).size())
    all += ring.after(at, 3);
  EXPECT_EQ(all, "cdefghij");
  ring.append("0123456789abcdefghi");
  EXPECT_EQ(ring.end(), 29U);
  all.clear();
  for (auto at = ring.begin(); at < ring.end(); at += ring.after(at, 100).size())
    all += ring.after(at, 100);
  EXPECT_EQ(all, "bcdefghi");
}

TEST(EscapeKeys, are_found_across_pieces_and_nothing_else_is_lost) {
  EscapeKeys keys("\x1d\x1d");
  EXPECT_EQ(keys.take("ab").text, "ab");
  EXPECT_EQ(keys.take("c\x1d").text, "c");
  EXPECT_TRUE(keys.holds_back());
  EXPECT_EQ(keys.take("d").text,
            "\x1d"
            "d");
  EXPECT_FALSE(keys.take("\x1d").found);
  EXPECT_TRUE(keys.take("\x1d"
                        "rest")
                  .found);
  EXPECT_EQ(EscapeKeys("").take("\x1d\x1d").text, "\x1d\x1d");
}

TEST(EscapeKeys, are_written_with_carets) {
  EXPECT_EQ(parse_escape("^]^]").value(), "\x1d\x1d");
  EXPECT_EQ(parse_escape("^a q").value(), "\x01q");
  EXPECT_EQ(parse_escape("none").value(), "");
  EXPECT_FALSE(parse_escape(""));
  EXPECT_FALSE(parse_escape("a^"));
  EXPECT_FALSE(parse_escape("^ "));
}

}  // namespace
}  // namespace userns::frontend
