#include "frontend/start/raw_terminal.h"

namespace userns::frontend {

void RawTerminal::enter(int fd) {
  if (fd_ >= 0 || ::tcgetattr(fd, &saved_) != 0) return;
  termios raw = saved_;
  ::cfmakeraw(&raw);
  // Not after what was written is out (TCSADRAIN): a terminal that stands still would hold us.
  if (::tcsetattr(fd, TCSANOW, &raw) == 0) fd_ = fd;
}

void RawTerminal::leave() {
  if (fd_ >= 0) (void)::tcsetattr(fd_, TCSANOW, &saved_);
  fd_ = -1;
}

}  // namespace userns::frontend
