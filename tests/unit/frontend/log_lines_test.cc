#include "frontend/cli/watch/log_lines.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <vector>

#include "frontend/events/moment.h"
#include "frontend/events/read_events.h"

namespace userns::frontend {
namespace {

class LogLinesTest : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC0", 1);
    ::tzset();
  }
};

const std::vector<LogMark> kMarks{{0, 1000, true}, {4, 2000, false}, {8, 3000, true}};

TEST_F(LogLinesTest, RunsAreToldApart) {
  LogLines lines({.name = "web"});
  EXPECT_EQ(lines.add("one\ntwo\nend", 0, kMarks),
            "one\ntwo\n-- web started 1970-01-01T00:00:03.000+00:00 --\r\nend");
}

TEST_F(LogLinesTest, ARunThatEndsWithinALineIsClosed) {
  LogLines lines({.name = "web"});
  const std::vector<LogMark> marks{{0, 1000, true}, {3, 2000, true}};
  EXPECT_EQ(lines.add("one", 0, marks), "one");
  EXPECT_EQ(lines.add("two\n", 3, marks),
            "\r\n-- web started 1970-01-01T00:00:02.000+00:00 --\r\ntwo\n");
}

TEST_F(LogLinesTest, TimesChoose) {
  EXPECT_EQ(LogLines({.name = "web", .since = 2000, .until = 2999}).add("one\ntwo\nend", 0, kMarks),
            "two\n");
  LogLines stamped({.name = "web", .until = 2000, .timestamps = true});
  EXPECT_EQ(stamped.add("one\ntw", 0, kMarks),
            "1970-01-01T00:00:01.000+00:00 one\n1970-01-01T00:00:02.000+00:00 tw");
  EXPECT_EQ(stamped.add("o\nend", 6, kMarks), "o\n");
}

TEST_F(LogLinesTest, WithoutMarksTheTimeIsNotKnown) {
  EXPECT_EQ(LogLines({.name = "web", .timestamps = true}).add("one\n", 0, {}), "- one\n");
  EXPECT_EQ(LogLines({.name = "web", .since = 0}).add("one\n", 0, {}), "");
}

TEST_F(LogLinesTest, MarksAreReadLeniently) {
  const auto times = parse_log_times("log 42\n0 1000 start\nnonsense\n4 -2\n4 2000\n8 30");
  EXPECT_EQ(times.inode, 42U);
  EXPECT_EQ(times.marks, (std::vector<LogMark>{{0, 1000, true}, {4, 2000, false}}));
}

TEST_F(LogLinesTest, Moments) {
  constexpr std::int64_t kNow = 1'000'000'000'000;
  EXPECT_EQ(parse_moment("90s", kNow), kNow - 90'000);
  EXPECT_EQ(parse_moment("1h30m", kNow), kNow - 5'400'000);
  EXPECT_EQ(parse_moment("7d", kNow), kNow - 7 * 86'400'000LL);
  EXPECT_EQ(parse_moment("5", kNow), 5000);
  EXPECT_EQ(parse_moment("1970-01-02", kNow), 86'400'000);
  EXPECT_EQ(parse_moment("1970-01-01 00:01", kNow), 60'000);
  EXPECT_EQ(parse_moment("1970-01-01T01:00:00.25+01:00", kNow), 250);
  EXPECT_EQ(parse_moment("1970-01-01T00:00:01.123456Z", kNow), 1123);
  for (const char* const text : {"", "soon", "-5m", "5x", "5m3", "1970-13-01", "1970-01-01 x",
                                 "1970-01-01T00:00:00+0100", "99999999999999999999s"})
    EXPECT_FALSE(parse_moment(text, kNow)) << text;
  EXPECT_EQ(moment_text(1123), "1970-01-01T00:00:01.123+00:00");
  EXPECT_EQ(moment_text(-1), "1969-12-31T23:59:59.999+00:00");
}

TEST_F(LogLinesTest, AnEventIsReadBackAsItWasWritten) {
  const Event event{.time_ns = 1'500'000'000,
                    .name = "web",
                    .what = "die",
                    .pid = 7,
                    .exit_status = 137,
                    .text = "a \"limit\"\\ \n\x7f",
                    .to = "x"};
  const auto read = parse_event(to_line(event));
  ASSERT_TRUE(read);
  EXPECT_EQ(to_line(*read), to_line(event));
  EXPECT_EQ(read->text, event.text);
  EXPECT_FALSE(parse_event("{\"name\":\"web\",\"event\":\"die\"}"));
  EXPECT_FALSE(parse_event("[1]"));
}

}  // namespace
}  // namespace userns::frontend
