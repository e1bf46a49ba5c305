// When the lines of a console's log came, and where each run begins: console.times beside
// console.log, so that the log itself stays what the console said.
//
//   log INODE          of the log that it is about, whatever that is called by now
//   OFFSET MS          the line that begins there came at MS, in milliseconds since 1970
//   OFFSET MS start    a run begins there
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/fd.h"

namespace userns::frontend {

inline constexpr const char* kTimesFile = "console.times";
inline constexpr const char* kOldTimesFile = "console.times.1";

struct LogMark {
  std::uint64_t offset = 0;
  std::int64_t ms = 0;
  bool begins_run = false;
  friend bool operator==(const LogMark&, const LogMark&) = default;
};

struct LogTimes {
  std::uint64_t inode = 0;
  std::vector<LogMark> marks;  // in the order of the file
};

// Lenient: a line that makes no sense is passed over. Pure.
LogTimes parse_log_times(std::string_view text);

// The writer's side: one who has the log open for appending.
class LogClock {
 public:
  // `log`: a file in `directory`. What is there about another log is forgotten.
  void open(const Fd& directory, const Fd& log);
  void mark(std::uint64_t offset, bool begins_run);
  // Too long beside a log of `size` bytes; then both are put aside.
  [[nodiscard]] bool is_full(std::uint64_t size) const;

 private:
  Fd file_;
  std::uint64_t used_ = 0;
  std::int64_t last_ = -1;  // the time of the last mark
};

}  // namespace userns::frontend
