#include "frontend/monitor/watchers.h"

#include <poll.h>

#include <algorithm>
#include <vector>

namespace userns::frontend {
namespace {

using Clock = std::chrono::steady_clock;
using Mode = Client::Mode;

// To read on, before the console goes on without it.
constexpr auto kMayTake = std::chrono::milliseconds(500);

bool is_far_behind(const Client& client, const Ring& said) {
  return client.position + said.size() / 2 < said.end();
}

void look_whether_behind(Client& client, const Ring& said) {
  if (client.mode != Mode::kWatches || !is_far_behind(client, said)) {
    client.behind_since.reset();
    client.left_behind = false;
  } else if (!client.behind_since) {
    client.behind_since = Clock::now();
  } else if (Clock::now() >= *client.behind_since + kMayTake) {
    client.left_behind = true;
  }
}

}  // namespace

short events_of(const Client& client, const Ring& said, bool deaf) {
  const bool watches = client.mode == Mode::kWatches;
  return static_cast<short>((watches && deaf ? 0 : POLLIN) |
                            (watches && client.position < said.end() ? POLLOUT : 0));
}

void catch_up(std::list<Client>& clients, const Ring& said) {
  for (auto& client : clients) {
    if (client.mode == Mode::kWatches) client.catch_up(said);
    look_whether_behind(client, said);
  }
}

std::optional<Clock::time_point> waited_for_until(const Client& client) {
  if (!client.behind_since || client.left_behind) return std::nullopt;
  return *client.behind_since + kMayTake;
}

bool is_anyone_waited_for(const std::list<Client>& clients) {
  return std::ranges::any_of(clients,
                             [](const Client& c) { return waited_for_until(c).has_value(); });
}

void say_farewell(std::list<Client>& clients, const Ring& said, Clock::time_point until) {
  while (Clock::now() < until) {
    std::vector<pollfd> behind;
    for (auto& client : clients) {
      if (client.mode != Mode::kWatches || !client.open()) continue;
      client.catch_up(said);
      if (client.open() && client.position < said.end())
        behind.push_back({.fd = client.raw(), .events = POLLOUT});
    }
    if (behind.empty()) return;
    (void)::poll(behind.data(), behind.size(), 100);
  }
}

}  // namespace userns::frontend
