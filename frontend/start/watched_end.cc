#include <poll.h>
#include <sys/socket.h>

#include "frontend/start/watched.h"

namespace userns::frontend {

void end_watched(Fd life) {
  constexpr int kTakes = 5000;  // ms
  if (!life.valid()) return;
  (void)::shutdown(life.get(), SHUT_WR);
  pollfd gone{.fd = life.get(), .events = POLLIN, .revents = 0};
  (void)::poll(&gone, 1, kTakes);
}

}  // namespace userns::frontend
