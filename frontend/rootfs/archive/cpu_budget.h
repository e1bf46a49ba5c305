// How much CPU time the work on a stranger's archive or tree may take.
//
// Good archives cost a few nanoseconds for each byte. One that is made to use up time costs more
// for each of its bytes than any honest one: links that lead through links, compression that only
// looks small. So the time that is allowed grows with the bytes that were read.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "policy/error.h"

namespace userns::frontend {

class CpuBudget {
 public:
  // `most`: exactly that; none: two minutes and a second for each MiB.
  explicit CpuBudget(std::optional<std::chrono::seconds> most) : most_(most) {}
  // An error if this process has used more than is allowed after `bytes`. The kernel is told, too:
  // it ends a process (SIGXCPU) that does not come back to ask.
  Result<void> check(std::uint64_t bytes);

 private:
  [[nodiscard]] std::chrono::seconds allowed(std::uint64_t bytes) const;

  std::optional<std::chrono::seconds> most_;
  std::chrono::seconds told_{0};  // the kernel
};

}  // namespace userns::frontend
