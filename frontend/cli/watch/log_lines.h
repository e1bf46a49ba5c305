// The lines of a log with the times of its marks (frontend/monitor/console/log_times.h): chosen by
// time, with the time before each, and a line between two runs. Pure.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "frontend/monitor/console/log_times.h"

namespace userns::frontend {

struct LogWish {
  std::string name;                                               // of the container
  std::int64_t since = std::numeric_limits<std::int64_t>::min();  // milliseconds since 1970
  std::int64_t until = std::numeric_limits<std::int64_t>::max();
  bool timestamps = false;
};

class LogLines {
 public:
  explicit LogLines(LogWish wish) : wish_(std::move(wish)) {}

  // What follows is of another file: its lines have marks of their own.
  void begin_file() { now_.reset(); }
  // What is to be shown of a piece that stands at `offset` of its file. Pieces come in order; a
  // line may go on from one to the next. `marks`: the file's, sorted by offset. A line without a
  // mark before it is of an unknown time: before any.
  std::string add(std::string_view text, std::uint64_t offset, std::span<const LogMark> marks);

 private:
  void begin_run(std::string& out, std::int64_t ms);
  void begin_line(std::string& out);

  LogWish wish_;
  std::optional<std::int64_t> now_;  // of the last mark
  bool at_line_start_ = true;
  bool shows_line_ = false;
  bool shown_any_ = false;
};

}  // namespace userns::frontend
