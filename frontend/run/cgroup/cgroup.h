// The container's cgroups: a leaf for us, a leaf for the container, limits on the latter.
//
//   OWN/           made for this run, the caller's: by userns-cgroup (web-PID, of a throw-away one
//                  run-PID) or systemd (userns-run-web-PID.scope, userns-run-PID.scope)
//   OWN/monitor/   we
//   OWN/payload/   the container, below the limits of spec.limits; root inside may make cgroups
//                  below it
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/spec/spec.h"

namespace userns::frontend {

class Cgroup {
 public:
  struct Parts {
    std::string path;  // of OWN
    Fd own;
    Fd payload;
    std::vector<LimitWish> limits;
  };
  explicit Cgroup(Parts parts) : parts_(std::move(parts)) {}

  // For CLONE_INTO_CGROUP; none where there are no cgroups.
  [[nodiscard]] const Fd& payload() const { return parts_.payload; }
  // Which limits it met: "memory limit 512M reached, killed". Empty where none was met.
  [[nodiscard]] std::string what_was_met() const;
  [[nodiscard]] std::string memory_met() const;
  [[nodiscard]] std::string pids_met() const;

  // Of a process that becomes another program: what it was, by its directory (directory(); "":
  // none) and its limits, each a file and the option that asked for it.
  static Cgroup adopt(const std::string& path,
                      std::span<const std::pair<std::string, std::string>> limits);
  [[nodiscard]] const std::string& directory() const { return parts_.path; }
  void kill() const;  // all that are in it
  void thaw() const;
  // After the last process has ended: removes, as the root inside, the cgroups that this root has
  // made below.
  void sweep(const Fd& user_namespace) const;

  Cgroup() = default;
  Cgroup(Cgroup&&) = default;
  Cgroup& operator=(Cgroup&& other) noexcept;
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;
  // Nothing of the container survives.
  ~Cgroup();

 private:
  [[nodiscard]] std::string cpu_met() const;
  [[nodiscard]] std::string_view option_of(std::string_view file) const;
  void end();

  Parts parts_;
};

}  // namespace userns::frontend
