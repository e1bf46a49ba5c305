// Ending a container that runs, also where its monitor is no help: it was stopped (SIGSTOP), or
// hangs.
#pragma once

#include <chrono>
#include <cstdint>

#include "frontend/container/connection.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// Asks, kills what is left after `timeout`, and waits for the end: the exit status. A monitor that
// does not answer even then is killed, and the container with it: said on stderr. To keep is a
// container that would be destroyed at its end. The caller holds the container's lock.
enum class AfterStop : std::uint8_t { kAsStarted, kKeep };
Result<int> stop_container(const Container& container, std::chrono::milliseconds timeout,
                           AfterStop after = AfterStop::kAsStarted);

// The container's lock, for who is to end it. A start that does not come to its end, and that
// whoever asked for it waits for, holds it: that start is given up.
Result<Lock> lock_to_stop(const Container& container);

// The same at once, until nothing of the run is left.
Result<void> stop_for_good(const Container& container);

}  // namespace userns::frontend
