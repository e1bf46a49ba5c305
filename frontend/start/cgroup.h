// The container's cgroups: a leaf for us, a leaf for the container, limits on the latter.
//
//   OWN/           made for this run, the caller's: by userns-cgroup (run-PID) or systemd
//   (userns-run-PID.scope) OWN/monitor/   we OWN/payload/   the container, below the limits of
//   spec.limits; root inside may make cgroups below it
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/start/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// Whether this caller could have the cgroup that a Spec asks for, now: a refusal when they are
// asked for is worth more than one at the start. Finds out by entering a cgroup, and leaves none.
Result<void> check_way_to_cgroup(const Spec& spec);

class Cgroup {
 public:
  // Where spec.cgroup asks for it and this process has none yet: becomes userns-cgroup or
  // systemd-run, which become this program again, with the same pid and these words (none: its
  // own), in a cgroup of the caller's. So this returns in the second life.
  static Result<Cgroup> enter(const Plan& plan, std::vector<std::string> words = {});

  // For CLONE_INTO_CGROUP; none where there are no cgroups.
  [[nodiscard]] const Fd& payload() const { return payload_; }
  // After the clone, which still has to be the caller's: the root inside, where he is not the
  // caller, may make cgroups.
  Result<void> give_to_root_inside(const Plan& plan) const;
  // Which limits it met: "memory limit 512M reached, killed". Empty where none was met.
  [[nodiscard]] std::string what_was_met() const;

  // Of a process that becomes another program: what it was, by its directory (directory(); "":
  // none) and its limits, each a file and the option that asked for it.
  static Cgroup adopt(const std::string& path,
                      std::span<const std::pair<std::string, std::string>> limits);
  [[nodiscard]] const std::string& directory() const { return path_; }
  void kill() const;  // all that are in it
  void thaw() const;
  // After the last process has ended: what root inside has made below is his, and removed in his
  // name.
  void sweep(const Fd& user_namespace) const;

  Cgroup() = default;
  Cgroup(Cgroup&&) = default;
  Cgroup& operator=(Cgroup&& other) noexcept;
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;
  // Nothing of the container survives.
  ~Cgroup();

 private:
  void end();

  std::string path_;
  Fd own_;
  Fd payload_;
  std::vector<LimitWish> limits_;

  Result<void> make_leaves(const Plan& plan, const std::string& path);
  Result<void> set_limits(const Plan& plan, std::string_view path) const;
};

}  // namespace userns::frontend
