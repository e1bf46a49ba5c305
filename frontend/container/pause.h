// A container that stands still while its files are read, and goes on afterwards whatever becomes
// of the reader.
//
// A process of ours waits for the end of the reader, on a pipe, and thaws the container: a reader
// that is killed leaves nothing frozen. It ignores the signals of a terminal.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/fd.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

class Pause {
 public:
  // The holder of the lock of a container that runs may. Without a cgroup of its own the container
  // goes on, and is_still() says so. One that is frozen already stays frozen afterwards.
  static Result<Pause> begin(const Container& container, const Lock& lock);
  [[nodiscard]] bool is_still() const { return is_still_; }

  Pause(Pause&& other) noexcept;
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
  Pause& operator=(Pause&&) = delete;
  ~Pause();

 private:
  Pause() = default;
  bool is_still_ = false;
  Fd pipe_;  // its end is the sign to thaw
  pid_t waiter_ = -1;
};

}  // namespace userns::frontend
