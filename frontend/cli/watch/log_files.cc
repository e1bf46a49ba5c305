#include "frontend/cli/watch/log_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "frontend/store/files.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestLog = std::size_t{1} << 30U;

struct Log {
  Fd old;
  Fd now;
};

bool is_same(const Fd& one, const Fd& other) {
  struct stat a{};
  struct stat b{};
  return one.valid() && other.valid() && ::fstat(one.get(), &a) == 0 &&
         ::fstat(other.get(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Result<Fd> open_part(const Container& container, const char* name) {
  auto file = open_own_file(container.dir().get(), name);
  if (!file && file.error().code == ENOENT) return Fd{};
  if (!file)
    return fail({}, concat("cannot read the log of ", container.name(), ": ", file.error().text),
                file.error().code);
  return file;
}

// As they belong together: nothing was put aside between.
Result<Log> open_both(const Container& container) {
  while (true) {
    auto old = TRY(open_part(container, kOldLogFile));
    auto now = TRY(open_part(container, kLogFile));
    const auto again = open_part(container, kOldLogFile);
    const bool is_still = !old.valid() ? again && !again->valid() : again && is_same(old, *again);
    if (is_still) return Log{.old = std::move(old), .now = std::move(now)};
  }
}

// Whichever of both files they are in by now. A log without times is shown all the same.
std::vector<LogMark> marks_of(const Container& container, const Fd& log) {
  struct stat facts{};
  std::vector<LogMark> marks;
  if (::fstat(log.get(), &facts) != 0) return marks;
  for (const char* const name : {kOldTimesFile, kTimesFile}) {
    const auto text = read_file_at(container.dir().get(), name, kLargestLog);
    const auto times = text ? parse_log_times(*text) : LogTimes{};
    if (times.inode == facts.st_ino)
      marks.insert(marks.end(), times.marks.begin(), times.marks.end());
  }
  std::ranges::stable_sort(marks, {}, &LogMark::offset);
  return marks;
}

}  // namespace

// The text before the marks, which are written first: so they are of all of it.
Result<void> LogReader::read_rest(std::vector<LogPiece>& pieces) {
  if (!file_.valid()) return {};
  auto text = read_all(file_, kLargestLog);
  if (!text)
    return fail({}, concat("cannot read the log of ", container_.name()), text.error().code);
  const auto size = text->size();
  if (size == 0) return {};
  pieces.push_back({.text = std::move(*text),
                    .offset = read_,
                    .begins_file = read_ == 0,
                    .marks = marks_of(container_, file_)});
  read_ += size;
  return {};
}

Result<std::vector<LogPiece>> LogReader::next() {
  std::vector<LogPiece> pieces;
  while (true) {
    auto log = TRY(open_both(container_));
    TRY(read_rest(pieces));
    const bool at_old = is_same(file_, log.old);
    Fd& following = log.old.valid() && !at_old ? log.old : log.now;
    if (is_same(file_, log.now) || !following.valid()) return pieces;
    file_ = std::move(following);
    read_ = 0;
  }
}

}  // namespace userns::frontend
