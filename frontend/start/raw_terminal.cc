#include "frontend/start/raw_terminal.h"

namespace userns::frontend {

void RawTerminal::enter(int fd) {
  if (fd_ >= 0 || ::tcgetattr(fd, &saved_) != 0) return;
  termios raw = saved_;
  ::cfmakeraw(&raw);
  if (::tcsetattr(fd, TCSADRAIN, &raw) == 0) fd_ = fd;
}

void RawTerminal::leave() {
  if (fd_ >= 0) (void)::tcsetattr(fd_, TCSADRAIN, &saved_);
  fd_ = -1;
}

}  // namespace userns::frontend
