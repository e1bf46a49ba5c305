// Standard input and output between the caller and the command where the caller's own fds may not
// be handed in because they are a terminal: through the command's terminal, or through pipes.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <array>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// One direction. What was read and can't be written yet waits in `pending`; nothing blocks the
// others.
struct Flow {
  int from = -1;
  int to = -1;
  bool inward = false;  // towards the command
  bool open = true;
  bool paused = false;  // the caller's terminal belongs to another job just now
  Fd owned;             // our end of a pipe: closed with the flow
  std::string pending;
};

// write(2) to an fd of the caller's, which blocks and stays as it is: what nobody reads is waited
// for a moment only. Where poll(2) sees room it need not be for all of the text.
[[nodiscard]] ssize_t write_briefly(int fd, std::string_view text);

class Relay {
 public:
  // Before the clone, for a command without a terminal of its own: a pipe for each of fds 0-2 that
  // is a terminal. Their far ends are for the command.
  static Result<Relay> for_pipes();
  [[nodiscard]] std::array<Fd, 3> take_far_ends() { return std::move(far_ends_); }
  // The master side of the command's terminal.
  void use_terminal(Fd master);

  // For a system's console, which many open, close and hang up one after the other: the terminal
  // stays, and the end of the caller's input is no ^D to whoever happens to read.
  void hold_terminal();

  [[nodiscard]] const Fd& master() const { return master_; }
  [[nodiscard]] bool empty() const { return flows_.empty(); }
  // Appends what to wait for; then hands back the same entries after poll(2).
  void want(std::vector<pollfd>& polled) const;
  // Moves what can be moved. Returns what the caller typed into the command's terminal, as `filter`
  // has left it to the command.
  std::string move(std::span<const pollfd> polled, const std::function<void(std::string&)>& filter);
  // After the command's end: what it has written so far is still handed out, as long as
  // `wait_for_room` says that there is room for more.
  void drain(const std::function<bool(int)>& wait_for_room);
  // Input has ended, and the command's terminal is told so again each time that all of its input
  // was read: a reader that comes later or changes the terminal's mode would miss it.
  [[nodiscard]] bool repeats_end_of_input() const { return input_ended_; }
  void repeat_end_of_input();
  void resume();  // the caller's terminal is ours again
  void copy_window_size() const;

 private:
  void add_pipe(int number, Pipe pipe);
  std::string read_into(Flow& flow);
  void write_out(Flow& flow);

  std::vector<Flow> flows_;
  std::array<Fd, 3> far_ends_;
  Fd master_;
  Fd held_;                   // the other side
  bool input_ended_ = false;  // into a terminal
  bool marked_end_ = false;   // may wait for a reader by lines
};

}  // namespace userns::frontend
