// A process of ours that writes an archive into a pipe while this one reads it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <utility>

#include "common/fd.h"
#include "frontend/run/process.h"
#include "policy/error.h"

namespace userns::frontend {

class Producer {
 public:
  using Act = std::function<Result<void>(const Fd& out)>;
  // Calls `act` in a fork, which ends with us.
  static Result<Producer> start(const Act& act);

  [[nodiscard]] const Fd& output() const { return output_; }
  // Waits for its end: what `act` returned. What it still wants to write has no reader any more.
  // EPIPE: it has written what nobody read.
  Result<void> finish();

 private:
  Producer(pid_t pid, Fd output, Fd said)
      : child_(pid, SIGTERM), output_(std::move(output)), said_(std::move(said)) {}
  Child child_;
  Fd output_;  // closed first
  Fd said_;
};

}  // namespace userns::frontend
