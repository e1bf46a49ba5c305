// A process of ours that writes an archive into a pipe while this one reads it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <utility>

#include "common/fd.h"
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

  Producer(Producer&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)),
        output_(std::move(other.output_)),
        said_(std::move(other.said_)) {}
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;
  Producer& operator=(Producer&&) = delete;
  ~Producer();

 private:
  Producer(pid_t pid, Fd output, Fd said)
      : pid_(pid), output_(std::move(output)), said_(std::move(said)) {}
  pid_t pid_;
  Fd output_;
  Fd said_;
};

}  // namespace userns::frontend
