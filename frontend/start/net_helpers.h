// Connects the container's network namespace from outside: NICs by userns-net, or user networking
// by pasta or slirp4netns.
#pragma once

#include <sys/types.h>

#include <vector>

#include "common/fd.h"
#include "frontend/start/helper.h"
#include "frontend/start/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// Starts userns-net for each NIC of the plan. The namespaces of `target` must be there; its maps
// need not.
Result<std::vector<Helper>> begin_nics(const Plan& plan, pid_t target);

// Whatever gives the container user networking ends when this object does, or with this process,
// however that ends.
class UserNet {
 public:
  UserNet() = default;
  // After the maps: the program enters the container's user namespace. Returns when it is ready;
  // nothing to do where the plan has no user networking.
  static Result<UserNet> start(const Plan& plan, pid_t target);
  // For a process that becomes another program; not valid() where there is nothing.
  [[nodiscard]] const Fd& life() const { return life_; }

 private:
  explicit UserNet(Fd life) : life_(std::move(life)) {}
  Fd life_;  // its closing is the end
};

}  // namespace userns::frontend
