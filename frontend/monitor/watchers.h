// The clients that watch the console. One that is slow gets a moment to read on; then the console
// goes on without it, until it has caught up.
#pragma once

#include <chrono>
#include <list>
#include <optional>

#include "frontend/monitor/client.h"
#include "frontend/monitor/console/ring.h"

namespace userns::frontend {

// What to poll(2) the client for. `deaf`: the terminal takes no more of what is typed.
short events_of(const Client& client, const Ring& said, bool deaf);

// Gives each what it takes, and sees who is behind.
void catch_up(std::list<Client>& clients, const Ring& said);
// Until when the console waits for this one, if it does.
std::optional<std::chrono::steady_clock::time_point> waited_for_until(const Client& client);
bool is_anyone_waited_for(const std::list<Client>& clients);

// All that the watchers have not read yet, for as long as they read and until `until`.
void say_farewell(std::list<Client>& clients, const Ring& said,
                  std::chrono::steady_clock::time_point until);

}  // namespace userns::frontend
