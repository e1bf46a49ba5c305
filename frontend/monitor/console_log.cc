#include "frontend/monitor/console_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "frontend/store/state.h"

namespace userns::frontend {

ConsoleLog::ConsoleLog(const Fd& directory, std::uint64_t size)
    : directory_(directory), size_(size) {
  if (size_ > 0) open(O_APPEND);
}

void ConsoleLog::open(int flags) {
  auto file = open_at(directory_.get(), kLogFile,
                      O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | flags, 0, 0600);
  file_ = file ? std::move(*file) : Fd{};
  struct stat facts{};
  used_ = file_.valid() && ::fstat(file_.get(), &facts) == 0
              ? static_cast<std::uint64_t>(facts.st_size)
              : 0;
}

void ConsoleLog::rotate() {
  (void)::renameat(directory_.get(), kLogFile, directory_.get(), kOldLogFile);
  open(O_APPEND | O_TRUNC);
}

void ConsoleLog::append(std::string_view text) {
  while (size_ > 0 && !text.empty()) {
    if (!file_.valid()) open(O_APPEND);  // a disk that was full may have room again
    if (used_ >= size_) rotate();
    if (!file_.valid()) return;
    const auto room = std::min<std::uint64_t>(text.size(), size_ - std::min(size_, used_));
    const auto part = text.substr(0, static_cast<std::size_t>(room));
    const auto put = ::write(file_.get(), part.data(), part.size());
    if (put <= 0) return;
    used_ += static_cast<std::uint64_t>(put);
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

}  // namespace userns::frontend
