#include "frontend/monitor/console/log_times.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <string>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::uint64_t kLeast = 1UL << 20U;  // of the marks of a small log

std::int64_t now_ms() {
  timespec time{};
  (void)::clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1000 + time.tv_nsec / 1'000'000;
}

std::uint64_t inode_of(const Fd& file) {
  struct stat facts{};
  return ::fstat(file.get(), &facts) == 0 ? facts.st_ino : 0;
}

std::uint64_t size_of(const Fd& file) {
  struct stat facts{};
  return ::fstat(file.get(), &facts) == 0 ? static_cast<std::uint64_t>(facts.st_size) : 0;
}

bool begins_with(const Fd& file, std::string_view head) {
  std::string text(head.size(), '\0');
  return ::pread(file.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(head.size()) &&
         text == head;
}

}  // namespace

LogTimes parse_log_times(std::string_view text) {
  constexpr std::string_view kHead = "log ";
  LogTimes times;
  while (text.contains('\n')) {  // what is cut short is none
    auto line = take_until(text, '\n');
    if (line.starts_with(kHead)) {
      times.inode = parse_decimal(line.substr(kHead.size())).value_or(0);
      continue;
    }
    const auto offset = parse_decimal(take_until(line, ' '));
    const auto ms = parse_decimal(take_until(line, ' '));
    if (offset && ms && *ms <= std::uint64_t{1} << 60U && (line.empty() || line == "start"))
      times.marks.push_back(
          {.offset = *offset, .ms = static_cast<std::int64_t>(*ms), .begins_run = !line.empty()});
  }
  return times;
}

void LogClock::open(const Fd& directory, const Fd& log) {
  last_ = -1;
  auto file = open_at(directory.get(), kTimesFile,
                      O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0, 0600);
  file_ = file ? std::move(*file) : Fd{};
  const auto head = concat("log ", inode_of(log), "\n");
  if (!file_.valid()) return;
  if (!begins_with(file_, head))
    if (::ftruncate(file_.get(), 0) != 0 ||
        ::write(file_.get(), head.data(), head.size()) != static_cast<ssize_t>(head.size()))
      file_.reset();
  used_ = size_of(file_);
}

void LogClock::mark(std::uint64_t offset, bool begins_run) {
  const auto ms = std::max<std::int64_t>(now_ms(), 0);
  if (!file_.valid() || (ms == last_ && !begins_run)) return;
  const auto line = concat(offset, " ", ms, begins_run ? " start\n" : "\n");
  const auto put = ::write(file_.get(), line.data(), line.size());
  if (put > 0) used_ += static_cast<std::uint64_t>(put);
  last_ = ms;
}

bool LogClock::is_full(std::uint64_t size) const { return used_ >= std::max(size, kLeast); }

}  // namespace userns::frontend
