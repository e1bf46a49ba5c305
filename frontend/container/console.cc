#include "frontend/container/console.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "frontend/container/connection.h"
#include "frontend/run/exit_status.h"
#include "frontend/run/signals.h"
#include "frontend/spec/tell.h"
#include "frontend/start/raw_terminal.h"
#include "frontend/start/relay.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::int64_t kLeashTimeout = 10000;  // ms
constexpr std::size_t kMostTyped = 64UL << 10U;
constexpr std::size_t kMostShown = 256UL << 10U;
constexpr int kLookEvery = 250;  // ms
constexpr unsigned char kControl = 0x1f;

class Console {
 public:
  Console(const Container& container, Attached attached, const ConsoleWish& wish)
      : container_(container),
        connection_(std::move(attached.connection)),
        signals_(std::move(attached.signals)),
        keys_(wish.escape),
        leash_(wish.leash) {}

  Result<int> watch() {
    terminal_.enter(STDIN_FILENO);
    while (connected_ || !shown_.empty()) {
      const bool reads = connected_ && input_ && typed_.size() < kMostTyped;
      const bool hears = connected_ && (shown_.size() < kMostShown || !runs_ || hung_up_);
      std::array polled{
          pollfd{
              .fd = connected_ ? connection_.raw() : -1, .events = to_monitor(hears), .revents = 0},
          pollfd{.fd = signals_.fd().get(), .events = POLLIN, .revents = 0},
          pollfd{.fd = reads ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
          pollfd{.fd = shown_.empty() ? -1 : STDOUT_FILENO, .events = POLLOUT, .revents = 0}};
      if (::poll(polled.data(), polled.size(), shown_.size() < kMostShown ? -1 : kLookEvery) < 0 &&
          errno != EINTR)
        return fail_errno("cannot wait");
      hung_up_ = hung_up_ || (polled[0].revents & (POLLHUP | POLLERR)) != 0;
      if (shown_.size() >= kMostShown) look_whether_it_runs();
      if (polled[1].revents != 0) take_signals();
      if (polled[2].revents != 0) take_input();
      hand_over_typed();
      // Unless a signal or a key has just ended it: then nothing more is shown.
      if (connected_ && hears && (polled[0].revents & ~POLLOUT) != 0) take_answer();
      if (polled[3].revents != 0) show();
    }
    terminal_.leave();
    if (!status_) return end_unsaid();
    say_what_was_met(container_, met_);
    return *status_;
  }

 private:
  [[nodiscard]] short to_monitor(bool hears) const {
    return static_cast<short>((hears ? POLLIN : 0) | (typed_.empty() ? 0 : POLLOUT));
  }

  // What the monitor does not take yet is kept: whoever sits here can still detach.
  void hand_over_typed() {
    while (!typed_.empty()) {
      const auto piece = std::string_view(typed_).substr(0, kLargestData);
      if (!connection_.send(Said::kData, piece)) return;
      typed_.erase(0, piece.size());
    }
  }

  // The monitor does not wait for ever until we have read its last words: they are taken from it,
  // however much is still to be shown.
  void look_whether_it_runs() {
    const auto state = read_state(container_.dir());
    runs_ = state && *state && (*state)->init.pid != 0 && (*state)->init.lives();
  }

  [[nodiscard]] Result<int> end_unsaid() const {
    if (const auto last = read_orderly_end(container_.dir())) {
      say_what_was_met(container_, last->text);
      return last->exit_status;
    }
    return monitor_was_killed(container_);
  }

  // Until the connection is closed: with --rm, that is when the container is gone.
  void take_answer() {
    const auto answer = connection_.receive();
    if (!answer) {
      connected_ = false;
      return;
    }
    if (answer->said == Said::kEnd) status_ = end_in(*answer);
    if (answer->said == Said::kMet) met_ = answer->text;  // told when the terminal is as it was
    if (answer->said == Said::kLost)
      say(concat(answer->text, " bytes of the console went by too fast to be shown"));
    if (answer->said == Said::kData) shown_ += answer->text;
  }

  // Nothing here waits for who reads it.
  void show() {
    const auto put = write_briefly(STDOUT_FILENO, shown_);
    if (put > 0) shown_.erase(0, static_cast<std::size_t>(put));
    if (put < 0 && errno != EAGAIN && errno != EINTR)
      end(status_.value_or(0));  // nobody looks any more
  }

  void end(int status) {
    status_ = status;
    connected_ = false;
    shown_.clear();
  }

  void take_input() {
    std::array<char, kLargestData> chunk;  // NOLINT(*-member-init): only what is read is looked at
    const auto got = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) {
      input_ = false;
      return;
    }
    auto typed = keys_.take({chunk.data(), static_cast<std::size_t>(got)});
    typed_ += typed.text;
    hand_over_typed();
    if (typed.found) detach();
  }

  void detach() {
    end(0);
    terminal_.leave();
    say(concat("detached; ", container_.name(), " runs on"));
  }

  void take_signals() {
    while (const auto number = signals_.next()) {
      if (*number != SIGWINCH && (!leash_ || status_))
        end(status_.value_or(kExitSignalBase + *number));
      else
        (void)hand_on(container_, connection_, *number);
    }
  }

  static void say(std::string text) {
    tell("userns-run", {.rule = {}, .code = 0, .text = std::move(text)});
  }

  const Container& container_;
  Connection connection_;
  Signals signals_;
  EscapeKeys keys_;
  bool leash_;
  bool input_ = true;
  bool connected_ = true;
  bool runs_ = true;      // looked at only where it matters
  bool hung_up_ = false;  // by the monitor; there may be something to receive still
  RawTerminal terminal_;
  std::string typed_;  // and not yet taken by the monitor
  std::string shown_;  // and not yet taken by who reads it
  std::string met_;
  std::optional<int> status_;
};

}  // namespace

std::optional<WindowSize> window_size() {
  winsize size{};
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0 &&
      ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
    return std::nullopt;
  return WindowSize{.rows = size.ws_row, .columns = size.ws_col};
}

Result<Signals> take_console_signals() {
  return Signals::take({SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGWINCH});
}

bool hand_on(const Container& container, const Connection& console, int number) {
  if (number == SIGWINCH) {
    if (const auto size = window_size()) (void)console.send(Said::kSize, to_text(*size));
    return false;
  }
  wake_monitor(container);
  const auto other = Connection::open(container);
  if (other) [[maybe_unused]]
    const auto asked =
        other->ask({.kind = Request::Kind::kStop, .size = {}, .timeout = kLeashTimeout});
  return true;
}

Result<int> watch_console(const Container& container, Attached attached, const ConsoleWish& wish) {
  return Console(container, std::move(attached), wish).watch();
}

Result<int> attach_console(const Container& container, const ConsoleWish& wish) {
  auto connection = TRY(Connection::open(container));
  const Request request{
      .kind = Request::Kind::kConsole, .size = window_size(), .leash = wish.leash};
  TRY(connection.ask(request));
  (void)TRY(connection.receive_soon(container));
  auto signals = TRY(take_console_signals());
  return watch_console(container, {std::move(connection), std::move(signals)}, wish);
}

Result<std::string> parse_escape(std::string_view text) {
  if (text == "none") return std::string{};
  std::string keys;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == ' ') continue;
    if (text[at] != '^') {
      keys.push_back(text[at]);
      continue;
    }
    ++at;
    if (at == text.size() || text[at] < '?' || text[at] > '~')
      return fail({}, concat("--escape is a sequence of keys, as ^]^] or ^aq, or none; not ",
                             quoted(text)));
    keys.push_back(static_cast<char>(static_cast<unsigned char>(text[at]) & kControl));
  }
  if (keys.empty()) return fail({}, "--escape is empty: give a sequence of keys, as ^]^], or none");
  return keys;
}

EscapeKeys::Typed EscapeKeys::take(std::string_view piece) {
  if (keys_.empty()) return {.text = std::string(piece)};
  Typed typed;
  for (const char c : piece) {
    if (c != keys_[matched_] && matched_ > 0) {
      // What was held back was meant; but for its first key, which it may begin with again.
      typed.text.append(keys_, 0, matched_);
      matched_ = 0;
    }
    if (c != keys_[matched_]) {
      typed.text.push_back(c);
    } else if (++matched_ == keys_.size()) {
      typed.found = true;
      return typed;
    }
  }
  return typed;
}

}  // namespace userns::frontend
