// Where the bytes of an archive come from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;
  // The next bytes, valid until the next call; empty at the end.
  virtual Result<std::string_view> read() = 0;
  // How many bytes could be left out without reading them, at most `count`; 0 where that is not
  // possible.
  virtual std::uint64_t skip(std::uint64_t /*count*/) { return 0; }
};

// An open file, from its present offset on: a regular file, a pipe, a terminal.
class FileSource : public Source {
 public:
  // `file` must live as long.
  explicit FileSource(const Fd& file);
  Result<std::string_view> read() override;
  std::uint64_t skip(std::uint64_t count) override;
  [[nodiscard]] bool is_regular() const { return size_ >= 0; }
  // Before the first read: what is read can be read again after again().
  void remember() { remembers_ = true; }
  void again();

 private:
  const Fd& file_;
  std::int64_t size_ = -1;  // of a regular file
  std::int64_t start_ = 0;  // its offset at first
  std::vector<char> buffer_;
  bool remembers_ = false;
  std::string remembered_;  // of what is not a regular file
  bool replayed_ = false;
};

}  // namespace userns::frontend
