#include "frontend/rootfs/archive/source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace userns::frontend {
namespace {

constexpr std::size_t kPiece = 1UL << 20U;

}  // namespace

FileSource::FileSource(const Fd& file) : file_(file), buffer_(kPiece) {
  struct stat facts{};
  if (::fstat(file_.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return;
  size_ = facts.st_size;
  start_ = ::lseek(file_.get(), 0, SEEK_CUR);
}

Result<std::string_view> FileSource::read() {
  if (!remembers_ && !replayed_ && !remembered_.empty()) {
    replayed_ = true;
    return std::string_view(remembered_);
  }
  if (!remembers_) remembered_ = {};
  ssize_t got = -1;
  while ((got = ::read(file_.get(), buffer_.data(), buffer_.size())) < 0)
    if (errno != EINTR) return fail_errno("cannot read the archive");
  const std::string_view piece(buffer_.data(), static_cast<std::size_t>(got));
  if (remembers_ && !is_regular()) remembered_ += piece;
  return piece;
}

std::uint64_t FileSource::skip(std::uint64_t count) {
  if (!is_regular()) return 0;
  const auto here = ::lseek(file_.get(), 0, SEEK_CUR);
  if (here < 0 || here >= size_) return 0;
  const auto possible = std::min(count, static_cast<std::uint64_t>(size_ - here));
  return ::lseek(file_.get(), static_cast<off_t>(possible), SEEK_CUR) < 0 ? 0 : possible;
}

void FileSource::again() {
  remembers_ = false;
  if (is_regular()) ::lseek(file_.get(), start_, SEEK_SET);
}

}  // namespace userns::frontend
