#include "frontend/monitor/console/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <utility>

namespace userns::frontend {
namespace {

constexpr std::size_t kRemembered = 128UL << 10U;
constexpr std::size_t kChunk = 8192;
constexpr std::size_t kMostTyped = 64UL << 10U;

}  // namespace

Terminal::Terminal(Fd master, ConsoleLog& log)
    : master_(std::move(master)), log_(log), said_(kRemembered) {
  if (!master_.valid()) return;
  (void)::fcntl(master_.get(), F_SETFL, ::fcntl(master_.get(), F_GETFL) | O_NONBLOCK);
  // Else it would hang up whenever nobody inside has it open.
  held_.reset(::ioctl(master_.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}

short Terminal::events(bool is_held_back) const {
  return static_cast<short>((is_held_back ? 0 : POLLIN) | (typed_.empty() ? 0 : POLLOUT));
}

void Terminal::move(short events) {
  if ((events & POLLOUT) != 0 && !typed_.empty()) write_typed();
  if ((events & POLLIN) != 0) (void)read();
  if ((events & (POLLHUP | POLLERR)) != 0 && (events & POLLIN) == 0) close();
}

void Terminal::write_typed() {
  const auto put = ::write(master_.get(), typed_.data(), typed_.size());
  if (put > 0) typed_.erase(0, static_cast<std::size_t>(put));
  if (put < 0 && errno != EAGAIN && errno != EINTR) typed_.clear();
}

bool Terminal::read() {
  std::array<char, kChunk> chunk;  // NOLINT(*-member-init): only what is read is looked at
  const auto got = ::read(master_.get(), chunk.data(), chunk.size());
  if (got <= 0) return false;
  const std::string_view text(chunk.data(), static_cast<std::size_t>(got));
  said_.append(text);
  log_.append(text);
  return true;
}

void Terminal::read_rest() {
  while (master_.valid() && read()) continue;
}

bool Terminal::is_full() const { return typed_.size() >= kMostTyped; }

void Terminal::resize(std::uint16_t rows, std::uint16_t columns) const {
  const winsize window{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  (void)::ioctl(master_.get(), TIOCSWINSZ, &window);
}

}  // namespace userns::frontend
