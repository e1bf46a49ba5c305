// Connects the container's network namespace from outside: NICs by userns-net, or user networking
// by pasta or slirp4netns.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/fd.h"
#include "frontend/run/helper.h"
#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// userns-net for one NIC, and what it answers.
struct NicHelper {
  Helper helper;
  Fd answer;
};
using NicHelpers = std::vector<NicHelper>;  // their end is waited for when it goes
// Starts one for each NIC of the plan. The network namespace of `target` must be there, and its ids
// be the caller's still.
Result<NicHelpers> begin_nics(const Plan& plan, pid_t target);
// Waits for the NICs. What net.conf gave to each, for with_given() of net_inside.h.
Result<std::string> finish_nics(NicHelpers& helpers);

// Whatever gives the container user networking ends when this object does, or with this process,
// however that ends.
class UserNet {
 public:
  UserNet() = default;
  UserNet(UserNet&&) = default;
  UserNet& operator=(UserNet&&) = delete;
  UserNet(const UserNet&) = delete;
  UserNet& operator=(const UserNet&) = delete;
  ~UserNet();  // waits until it is gone
  // After the maps: the program enters the container's user namespace. Returns when it is ready;
  // nothing to do if the plan has no user networking. pasta is tried first, then slirp4netns. If
  // neither works and the network was chosen by --net auto, or is one that containers share, the
  // container goes on without a way out, and a line on stderr says why; --publish needs one in any
  // case.
  static Result<UserNet> start(const Plan& plan, pid_t target);
  // For a process that becomes another program; not valid() where there is nothing.
  [[nodiscard]] const Fd& life() const { return life_; }
  // The place in a network of the caller's, likewise.
  [[nodiscard]] const Fd& network() const { return network_; }
  // What the container sets up inside for that place, for with_given() of net_inside.h.
  [[nodiscard]] const std::string& given() const { return given_; }

 private:
  Fd life_;     // its closing is the end
  Fd network_;  // likewise
  std::string given_;
};

// Whether a program that user networking could be by works here.
struct UserNetTrial {
  std::string program;
  std::string refusal;  // what it said; empty: it works
};
// Starts each that is installed for `target`, a process in a user namespace and a network
// namespace of its own, and ends it again.
std::vector<UserNetTrial> try_user_net(pid_t target);

}  // namespace userns::frontend
