// Hears from the kernel that a container may have met a limit, while it runs.
#pragma once

#include <array>
#include <optional>

#include "common/fd.h"

namespace userns::frontend {

class LimitWatch {
 public:
  enum class Of : unsigned char { kMemory, kPids };

  // `payload`: the cgroup that is below the limits; none: nothing is ever heard.
  explicit LimitWatch(const Fd& payload);
  [[nodiscard]] const Fd& fd() const { return fd_; }  // readable when there is news
  // Of which the counts have changed.
  [[nodiscard]] std::optional<Of> next() const;
  // One is said once in a run.
  void forget(Of which);

 private:
  Fd fd_;
  std::array<int, 2> watches_{-1, -1};
};

}  // namespace userns::frontend
