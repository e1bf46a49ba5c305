// An open file descriptor that is owned. A raw int lives one line.
//
// Everything is opened close-on-exec. Errors carry errno and what was attempted.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "policy/error.h"

namespace userns {

class Fd {
 public:
  Fd() = default;
  // Takes ownership of `raw`; -1 is "none".
  explicit Fd(int raw) : raw_(raw) {}
  Fd(Fd&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    reset(std::exchange(other.raw_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return raw_; }
  [[nodiscard]] bool valid() const { return raw_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(raw_, -1); }
  void reset(int raw = -1) {
    if (raw_ >= 0) ::close(raw_);
    raw_ = raw;
  }

 private:
  int raw_ = -1;
};
int close(const Fd&) = delete;  // use reset()

// fail() with errno as it stands: "cannot open X: No such file or directory".
std::unexpected<Error> fail_errno(std::string text);

// openat2(2) below `dir` (AT_FDCWD: the working directory). `resolve`: RESOLVE_* of openat2(2).
// O_CLOEXEC is added. Needs Linux 5.6; -1 inside the Fd never reaches the caller.
Result<Fd> open_at(int dir, const char* path, int flags, unsigned long long resolve = 0,
                   unsigned mode = 0);

// A pair (read end, write end).
struct Pipe {
  Fd read;
  Fd write;
};
Result<Pipe> make_pipe();

// Up to buffer.size() bytes; fewer only at the end of the file. EINTR is retried.
Result<std::size_t> read_some(const Fd& fd, std::span<char> buffer);
// The whole of a small file; fails with EFBIG where it is longer than `limit` bytes.
Result<std::string> read_all(const Fd& fd, std::size_t limit);
// All of it or an error; EINTR and short writes are retried. Not for map files: see write_once().
Result<void> write_all(const Fd& fd, std::string_view text);
// One write at offset 0 of the whole text; a short write is an error. What procfs files need.
Result<void> write_once(const Fd& fd, std::string_view text);

}  // namespace userns
