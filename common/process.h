// Another process, held by an fd of its /proc/PID directory, so that a recycled pid is never met.
//
// Source: proc(5), pidfd_open(2). All facts come from that one directory fd.
#pragma once

#include <cstdint>
#include <utility>

#include "common/fd.h"
#include "policy/error.h"
#include "policy/ids.h"
#include "policy/target.h"

namespace userns {

class Process {
 public:
  // A pid opens /proc/PID. An fd is an inherited one of a /proc/PID directory (IM-PROC: of procfs)
  // or a pidfd, recognised by its fdinfo (IM-PIDFD). A process that is gone: IM-GONE.
  static Result<Process> open(const Target& target);

  // Opens a file of the directory that belongs to the process and to no mount on top of it.
  [[nodiscard]] Result<Fd> open_file(const char* name, int flags) const;
  // IM-GONE where the process has ended meanwhile. After what is wanted of it was opened, so that
  // it belongs to the process that the caller named.
  [[nodiscard]] Result<void> still_alive() const;

  [[nodiscard]] std::uint64_t pid() const { return pid_; }
  // Owner of the directory: always the process's effective uid and gid.
  [[nodiscard]] Uid owner() const { return owner_; }
  [[nodiscard]] Gid group() const { return group_; }

 private:
  Process(Fd directory, Fd pidfd, std::uint64_t pid)
      : directory_(std::move(directory)), pidfd_(std::move(pidfd)), pid_(pid) {}
  Result<void> gather();

  Fd directory_;
  Fd pidfd_;  // only where the caller gave one
  std::uint64_t pid_;
  Uid owner_{0};
  Gid group_{0};
};

}  // namespace userns
