#include "frontend/cli/watch/log_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "frontend/events/rotated_file.h"
#include "frontend/store/files.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLargestLog = std::size_t{1} << 30U;

Result<Fd> open_part(const Container& container, const char* name) {
  auto file = open_own_file(container.dir().get(), name);
  if (!file && file.error().code == ENOENT) return Fd{};
  if (!file)
    return fail({}, concat("cannot read the log of ", container.name(), ": ", file.error().text),
                file.error().code);
  return file;
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
  const auto open = [&](const char* name) { return open_part(container_, name); };
  const auto drain = [&] { return read_rest(pieces); };
  while (true) {
    auto following = TRY(next_part(file_, kOldLogFile, kLogFile, open, drain));
    if (!following.valid()) return pieces;
    file_ = std::move(following);
    read_ = 0;
  }
}

}  // namespace userns::frontend
