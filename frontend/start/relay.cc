#include "frontend/start/relay.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <utility>

#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kChunk = 16384;
constexpr char kEndOfInput = 4;  // ^D, as a terminal spells it
constexpr char kKillLine = 21;   // ^U

void never_block(int fd) { (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

// Reading from a terminal that another job holds would stop us (SIGTTIN).
bool in_background(int fd) {
  const pid_t foreground = ::tcgetpgrp(fd);
  return foreground >= 0 && foreground != ::getpgrp();
}

// At most. A terminal does not say what its buffers hold.
std::size_t waiting_in(int fd, bool is_terminal) {
  constexpr std::size_t kTerminalHolds = 1UL << 20U;
  int bytes = 0;
  if (is_terminal || ::ioctl(fd, FIONREAD, &bytes) != 0) return kTerminalHolds;
  return static_cast<std::size_t>(bytes);
}

// Whether the command has read all that was typed. Only the other side of a terminal tells, an end
// of input included.
bool has_read_all(const Fd& master) {
  const Fd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  pollfd look{.fd = slave.get(), .events = POLLIN};
  return !slave.valid() || ::poll(&look, 1, 0) == 0;
}

// So that one interrupts a write.
bool hear_alarms() {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  return ::sigaction(SIGALRM, &action, nullptr) == 0 &&
         ::sigprocmask(SIG_UNBLOCK, &alarm, nullptr) == 0;
}

void end(Flow& flow) {
  flow.open = false;
  flow.pending.clear();
  flow.owned.reset();
}

}  // namespace

ssize_t write_briefly(int fd, std::string_view text) {
  static const bool hears = hear_alarms();
  constexpr timeval kMoment{.tv_sec = 0, .tv_usec = 20'000};
  // Again and again: the first may come before the write has begun.
  const itimerval often{.it_interval = kMoment, .it_value = kMoment};
  const itimerval never{};
  if (hears) (void)::setitimer(ITIMER_REAL, &often, nullptr);
  const auto put = ::write(fd, text.data(), text.size());
  const int error = errno;
  if (hears) (void)::setitimer(ITIMER_REAL, &never, nullptr);
  errno = error;
  return put;
}

Result<Relay> Relay::for_pipes() {
  Relay relay;
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::isatty(number) != 1) continue;
    auto pipe = TRY(make_pipe());
    relay.add_pipe(number, std::move(pipe));
  }
  return relay;
}

void Relay::add_pipe(int number, Pipe pipe) {
  const bool inward = number == STDIN_FILENO;
  Fd& near = inward ? pipe.write : pipe.read;
  never_block(near.get());
  far_ends_.at(static_cast<std::size_t>(number)) = std::move(inward ? pipe.read : pipe.write);
  Flow flow{
      .from = inward ? number : near.get(), .to = inward ? near.get() : number, .inward = inward};
  flow.owned = std::move(near);
  flows_.push_back(std::move(flow));
}

void Relay::use_terminal(Fd master) {
  master_ = std::move(master);
  never_block(master_.get());
  flows_.push_back({.from = STDIN_FILENO, .to = master_.get(), .inward = true});
  flows_.push_back({.from = master_.get(), .to = STDOUT_FILENO});
  copy_window_size();
}

void Relay::hold_terminal() {
  held_.reset(::ioctl(master_.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}

void Relay::want(std::vector<pollfd>& polled) const {
  for (const auto& flow : flows_) {
    const bool writes = !flow.pending.empty();
    const bool waits = flow.open && (writes || !flow.paused);
    const int fd = writes ? flow.to : flow.from;
    polled.push_back(
        {.fd = waits ? fd : -1, .events = static_cast<short>(writes ? POLLOUT : POLLIN)});
  }
}

std::string Relay::move(std::span<const pollfd> polled,
                        const std::function<void(std::string&)>& filter) {
  std::string typed;
  for (std::size_t i = 0; i < flows_.size() && i < polled.size(); ++i) {
    auto& flow = flows_[i];
    if (polled[i].revents == 0 || !flow.open) continue;
    if (flow.pending.empty()) {
      (void)read_into(flow);
      if (flow.to == master_.get() && !flow.pending.empty()) {
        filter(flow.pending);
        typed += flow.pending;
      }
    }
    if (!flow.pending.empty()) write_out(flow);
  }
  return typed;
}

std::string Relay::read_into(Flow& flow) {
  flow.paused = flow.inward && in_background(flow.from);
  if (flow.paused) return {};
  char chunk[kChunk];
  const auto got = ::read(flow.from, chunk, sizeof chunk);
  if (got > 0) flow.pending.assign(chunk, static_cast<std::size_t>(got));
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return flow.pending;
  // The master stays open: the command's output still comes through it.
  if (flow.inward && flow.to == master_.get()) input_ended_ = !held_.valid();
  end(flow);
  return {};
}

void Relay::write_out(Flow& flow) {
  const std::string_view text = flow.pending;
  // Towards the command nothing blocks.
  const auto put =
      flow.inward ? ::write(flow.to, text.data(), text.size()) : write_briefly(flow.to, text);
  if (put >= 0) flow.pending.erase(0, static_cast<std::size_t>(put));
  if (put < 0 && errno != EAGAIN && errno != EINTR) end(flow);
}

// What is there now is all that the command can have written: others that it has left behind (exec)
// may go on without end.
void Relay::drain(const std::function<bool(int)>& wait_for_room) {
  for (auto& flow : flows_) {
    if (flow.inward) continue;
    auto left = waiting_in(flow.from, flow.from == master_.get());
    while (flow.open && (left > 0 || !flow.pending.empty())) {
      if (!flow.pending.empty() && !wait_for_room(flow.to)) return;
      if (!flow.pending.empty())
        write_out(flow);
      else if (const auto got = read_into(flow).size(); got > 0)
        left -= std::min(left, got);
      else
        break;
    }
  }
}

// A mark that the reader by lines has not read is a NUL to an editor of lines that comes next, and
// its line is not empty then: the NUL is taken back first.
void Relay::repeat_end_of_input() {
  termios modes{};
  if (!input_ended_ || !has_read_all(master_) || ::tcgetattr(master_.get(), &modes) != 0) return;
  const bool by_lines = (modes.c_lflag & ICANON) != 0;
  const char typed[] = {kKillLine, kEndOfInput};
  const std::size_t skipped = marked_end_ && !by_lines ? 0 : 1;
  marked_end_ = true;  // the mode may have changed before the mark was there
  [[maybe_unused]] const auto put = ::write(master_.get(), typed + skipped, sizeof typed - skipped);
}

void Relay::resume() {
  for (auto& flow : flows_) flow.paused = false;
}

void Relay::copy_window_size() const {
  winsize size{};
  if (!master_.valid()) return;
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 ||
      ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    (void)::ioctl(master_.get(), TIOCSWINSZ, &size);
}

}  // namespace userns::frontend
