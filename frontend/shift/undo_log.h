// The file in which a shift keeps what it could not find out again: written whole before the first
// change, removed after the last. See session.h for what it is for, log_text.h for what is in it.
#pragma once

#include <optional>
#include <string>

#include "common/fd.h"
#include "frontend/shift/log_text.h"
#include "policy/error.h"

namespace userns::shift {

// Where the log of the tree at `directory` is: below $XDG_STATE_HOME, for root below /var/lib,
// otherwise in
// ~/.local/state; `uid` is the caller's outside of any namespace. Its name tells the tree by file
// system and inode, so that it is found again under another path.
Result<std::string> log_path(const std::string& directory, std::uint32_t uid);

// A log that is believed: the caller's own, and nobody else could have written to it. Nothing where
// there is none.
Result<std::optional<LogContent>> read_log(const std::string& path);

class UndoLog {
 public:
  // The directory of `path` is made where it is not there. `path` is looked up once.
  static Result<UndoLog> at(const std::string& path);

  // Makes it of this text, all or nothing, and on the disk when it returns.
  Result<void> create(const std::string& text);
  // Opens one that was read before, without what a crash left at its end.
  Result<void> reopen(std::size_t sound_bytes);
  // Adds a line; `durable`: it is on the disk when this returns. Not by two threads at once. What a
  // full disk cut off is taken away again.
  Result<void> append(const std::string& line, bool durable);
  Result<void> remove();

  // Whether it is in the tree whose own directory is `root`: a shift would shift it, too.
  [[nodiscard]] Result<bool> is_below(const InodeKey& root) const;
  [[nodiscard]] std::uint64_t device() const { return device_; }

 private:
  UndoLog(Fd directory, std::string name)
      : directory_(std::move(directory)), name_(std::move(name)) {}
  Fd directory_;
  std::string name_;
  Fd file_;
  std::size_t size_ = 0;
  std::uint64_t device_ = 0;
};

}  // namespace userns::shift
