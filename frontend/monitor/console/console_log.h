// What the container's console has said, in files of bounded size: console.log and the one before
// it; and when it said that (log_times.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "common/fd.h"
#include "frontend/monitor/console/log_times.h"

namespace userns::frontend {

class ConsoleLog {
 public:
  // Each of the two files has at most `size` bytes; 0: there is no log.
  ConsoleLog(const Fd& directory, std::uint64_t size);
  // A log that cannot be written (a full disk) stops nobody.
  void append(std::string_view text);
  // What comes from here on is another run's.
  void begin_run();

 private:
  void open(int flags);
  void rotate();
  void note_time(std::string_view part);

  const Fd& directory_;
  std::uint64_t size_;
  std::uint64_t used_ = 0;
  Fd file_;
  LogClock clock_;
  bool at_line_start_ = true;
};

}  // namespace userns::frontend
