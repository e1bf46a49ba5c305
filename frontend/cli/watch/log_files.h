// The files of a container's log, read as one text: the one that was put aside and the one that is
// written to, over rotations in between.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/fd.h"
#include "frontend/monitor/console/log_times.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

struct LogPiece {
  std::string text;
  std::uint64_t offset = 0;  // in its file
  bool begins_file = false;
  std::vector<LogMark> marks;  // of the file
};

class LogReader {
 public:
  explicit LogReader(Container container) : container_(std::move(container)) {}
  // All at first; then what has come since.
  Result<std::vector<LogPiece>> next();

 private:
  Result<void> read_rest(std::vector<LogPiece>& pieces);

  Container container_;
  // Held open: so the inode number of one that is gone is no other's.
  Fd file_;  // the one that was read last
  std::uint64_t read_ = 0;
};

}  // namespace userns::frontend
