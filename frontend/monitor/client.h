// One connection to the monitor. Nothing that it does or leaves undone holds up anybody else.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "frontend/monitor/beside.h"
#include "frontend/monitor/console/ring.h"
#include "frontend/monitor/control.h"

namespace userns::frontend {

struct Packet {
  std::string text;
  std::vector<Fd> fds;
};

class Client {
 public:
  enum class Mode : std::uint8_t { kNew, kWaits, kWantsReady, kWatches, kRuns };

  Client(Fd connection, Mode how) : mode(how), connection_(std::move(connection)) {}

  [[nodiscard]] int raw() const { return connection_.get(); }
  [[nodiscard]] bool open() const { return connection_.valid(); }
  void close() { connection_.reset(); }

  // Not only to ask for something.
  [[nodiscard]] bool stays() const { return mode != Mode::kNew && !stops; }

  // No value: nothing is there; a connection that is closed or broken is closed here, too.
  std::optional<Packet> receive();
  // False where the connection takes nothing just now. One that is broken is closed.
  bool say(Said what, std::string_view text, const Fd* fd = nullptr);
  // As much of the console as it takes.
  void catch_up(const Ring& ring);

  Mode mode;
  std::uint64_t position = 0;  // kWatches: in the ring
  std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
  std::optional<std::chrono::steady_clock::time_point> behind_since;  // kWatches: far behind
  bool left_behind = false;  // it is not waited for any more
  bool stops = false;        // kWaits: it has asked for the end
  bool leash = false;        // the container is not to outlive it
  Beside beside;             // kRuns

 private:
  Fd connection_;
};

// The request in the last fd of a packet, which is taken from it. The fd is a memfd that cannot
// change or shrink any more: reading it neither blocks nor is raced.
Result<Request> read_long_exec(Packet& packet);

// Who may be heard: the caller's own uid, and root.
bool may_be_heard(const Fd& connection);

}  // namespace userns::frontend
