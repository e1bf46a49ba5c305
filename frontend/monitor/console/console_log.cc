#include "frontend/monitor/console/console_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "frontend/store/state.h"

namespace userns::frontend {
namespace {

bool ends_in_a_line(const Fd& file, std::uint64_t size) {
  char last = '\n';
  return size == 0 || ::pread(file.get(), &last, 1, static_cast<off_t>(size - 1)) != 1 ||
         last == '\n';
}

}  // namespace

ConsoleLog::ConsoleLog(const Fd& directory, std::uint64_t size)
    : directory_(directory), size_(size) {
  if (size_ == 0) return;
  open(O_APPEND);
  at_line_start_ = ends_in_a_line(file_, used_);
}

void ConsoleLog::open(int flags) {
  auto file = open_at(directory_.get(), kLogFile,
                      O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | flags, 0, 0600);
  file_ = file ? std::move(*file) : Fd{};
  struct stat facts{};
  used_ = file_.valid() && ::fstat(file_.get(), &facts) == 0
              ? static_cast<std::uint64_t>(facts.st_size)
              : 0;
  if (file_.valid()) clock_.open(directory_, file_);
}

// The times first: a crash in between leaves none that are taken for another log's.
void ConsoleLog::rotate() {
  (void)::renameat(directory_.get(), kTimesFile, directory_.get(), kOldTimesFile);
  (void)::renameat(directory_.get(), kLogFile, directory_.get(), kOldLogFile);
  open(O_APPEND | O_TRUNC);
}

void ConsoleLog::begin_run() {
  if (!file_.valid()) return;
  clock_.mark(used_, true);
  at_line_start_ = true;
}

// Of the first line that begins in it; the others have come with it.
void ConsoleLog::note_time(std::string_view part) {
  const auto newline = part.find('\n');
  const auto first = at_line_start_ ? 0 : newline == part.npos ? part.size() : newline + 1;
  if (first < part.size()) clock_.mark(used_ + first, false);
  at_line_start_ = part.ends_with('\n');
}

void ConsoleLog::append(std::string_view text) {
  while (size_ > 0 && !text.empty()) {
    if (!file_.valid()) open(O_APPEND);  // a disk that was full may have room again
    if (used_ >= size_ || clock_.is_full(size_)) rotate();
    if (!file_.valid()) return;
    const auto room = std::min<std::uint64_t>(text.size(), size_ - std::min(size_, used_));
    const auto part = text.substr(0, static_cast<std::size_t>(room));
    note_time(part);
    const auto put = ::write(file_.get(), part.data(), part.size());
    if (put <= 0) return;
    used_ += static_cast<std::uint64_t>(put);
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

}  // namespace userns::frontend
