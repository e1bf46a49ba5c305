// A client's end of the monitor's socket (frontend/monitor/control.h).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "frontend/monitor/control.h"
#include "frontend/run/signals.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// A monitor that has not answered by then hangs. It does nothing that takes long, but for hooks at
// the end.
inline constexpr std::chrono::milliseconds kMonitorAnswers{10000};

struct Answer {
  Said said = Said::kError;
  std::string text;
  Fd fd;  // what came with it
};

class Connection {
 public:
  // Fails where the container does not run: the error says how it is started.
  static Result<Connection> open(const Container& container);

  [[nodiscard]] Result<void> ask(const Request& request, const std::vector<int>& fds = {}) const;
  // False where it does not take it just now, and where the monitor is gone.
  [[nodiscard]] bool send(Said what, std::string_view text) const;
  // Waits. No value: the monitor has closed the connection.
  [[nodiscard]] std::optional<Answer> receive() const;
  // Whether there is something to receive, the end included, within this time.
  [[nodiscard]] bool has_answer(std::chrono::milliseconds within) const;
  // What a request is answered with at once. Fails where it is not (ETIMEDOUT), and where the
  // container has ended.
  // With `heeded`: EINTR, if a signal comes that asks to end.
  [[nodiscard]] Result<Answer> receive_soon(const Container& container,
                                            const Signals* heeded = nullptr) const;
  [[nodiscard]] int raw() const { return socket_.get(); }

 private:
  explicit Connection(Fd socket) : socket_(std::move(socket)) {}
  Fd socket_;
};

// ETIMEDOUT, with why a monitor does not answer and what to do.
std::unexpected<Error> monitor_is_silent(const Container& container);
std::unexpected<Error> monitor_was_killed(const Container& container);
// Lets a monitor that was stopped go on.
void wake_monitor(const Container& container);

// Of the container's first process. Fails where it does not run. Where the monitor does not answer,
// what was written down at the start and still holds.
struct InitProcess {
  pid_t pid = 0;
  Fd pidfd;
};
Result<InitProcess> find_init_process(const Container& container);

// The same, or, where that is the init of --init, which hides from all (it is a program of the
// host's), its command: whose namespaces may be entered and looked at.
Result<InitProcess> find_way_in(const Container& container);

// The exit status in a kEnd.
int end_in(const Answer& answer);
// On stderr, where there is something to say (Cgroup::what_was_met()).
void say_what_was_met(const Container& container, std::string_view met);

// Waits for the answer to a request that is answered by the end of the container, and says which
// limits it met. Its exit status. Fails where the monitor is stopped (ETIMEDOUT).
Result<int> await_end(const Container& container, const Connection& connection);

// The address of a socket in a directory, however long the directory's path is; for bind(2) and
// connect(2).
std::string address_in(const Fd& directory, const char* name);
Result<Fd> listen_in(const Fd& directory, const char* name);

}  // namespace userns::frontend
