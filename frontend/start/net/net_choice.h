// What --net auto comes to on this host, for this user.
#pragma once

#include <string>
#include <string_view>

#include "frontend/spec/spec.h"

namespace userns::frontend {

struct NetChoice {
  NetWish wish;
  std::string why;  // one line for people; empty where there was nothing to choose
};

// The first of: a bridge that net.conf grants the caller and that is up; pasta or slirp4netns;
// none. Asks nobody who could keep it waiting. Policy itself is userns-net's to judge: this only
// looks where asking is worth while.
NetChoice choose_net(const Spec& spec);

// Whether this network namespace has a way to other hosts, without which pasta does not start.
bool has_default_route();

// Where the program is on PATH; empty where it is not.
std::string find_program(std::string_view name);

}  // namespace userns::frontend
