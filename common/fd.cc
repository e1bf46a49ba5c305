#include "common/fd.h"

#include <linux/openat2.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>

#include "policy/text.h"
#include "policy/try.h"

namespace userns {

std::unexpected<Error> fail_errno(std::string text) {
  const int code = errno;
  return fail({}, std::move(text), code);
}

Result<Fd> open_at(int dir, const char* path, int flags, unsigned long long resolve,
                   unsigned mode) {
  open_how how{};
  how.flags = static_cast<decltype(how.flags)>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = resolve;
  long raw = -1;
  errno = EAGAIN;
  // Where a ".." is on the way, a rename anywhere on the machine makes the kernel unsure: a busy
  // machine does that many times in a row.
  for (int left = 10'000; raw < 0 && errno == EAGAIN && left > 0; --left)
    raw = ::syscall(SYS_openat2, dir, path, &how, sizeof how);
  if (raw < 0) return fail_errno(concat("cannot open ", path));
  return Fd(static_cast<int>(raw));
}

Result<Pipe> make_pipe() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("cannot make a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<std::size_t> read_some(const Fd& fd, std::span<char> buffer) {
  std::size_t have = 0;
  while (have < buffer.size()) {
    const auto got = ::read(fd.get(), buffer.data() + have, buffer.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("cannot read");
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return have;
}

Result<std::string> read_all(const Fd& fd, std::size_t limit) {
  std::string text;
  std::array<char, 4096> piece{};
  for (std::size_t got = piece.size(); got == piece.size();) {
    got = TRY(read_some(fd, piece));
    text.append(piece.data(), got);
    if (text.size() > limit) return fail({}, concat("is longer than ", limit, " bytes"), EFBIG);
  }
  return text;
}

Result<void> write_all(const Fd& fd, std::string_view text) {
  while (!text.empty()) {
    const auto put = ::write(fd.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno("cannot write");
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Result<void> write_once(const Fd& fd, std::string_view text) {
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) return fail_errno("cannot rewind");
  const auto put = ::write(fd.get(), text.data(), text.size());
  if (put < 0) return fail_errno("cannot write");
  if (static_cast<std::size_t>(put) != text.size())
    return fail({}, concat("only ", put, " of ", text.size(), " bytes were taken"));
  return {};
}

}  // namespace userns
