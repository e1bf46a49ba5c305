// Another process, held by an fd of its /proc/PID directory, so that a recycled pid is never met.
//
// Source: proc(5), pidfd_open(2). All facts come from that one directory fd.
#pragma once

#include "common/fd.h"
#include "policy/error.h"
#include "policy/ids.h"
#include "policy/target.h"

namespace userns {

class Process {
 public:
  // ByPid opens /proc/PID. ByFd takes an inherited fd of a /proc/PID directory (IM-PROC: on procfs,
  // a process's own top directory) or a pidfd, recognised by its fdinfo (IM-PIDFD). A process that
  // is gone or a zombie: IM-GONE.
  static Result<Process> open(const Target& target);

  // Opens a file of the directory that belongs to the process and to no mount on top of it.
  [[nodiscard]] Result<Fd> open_file(const char* name, int flags) const;
  // IM-GONE where the process has ended meanwhile. After the last fact is gathered, so that what
  // was opened belongs to the process that the caller named.
  [[nodiscard]] Result<void> still_alive() const;

  // Owner of the directory: always the process's effective uid and gid.
  [[nodiscard]] Uid owner() const { return owner_; }
  [[nodiscard]] Gid group() const { return group_; }
  // The files in it are root's although the process is not: prctl(PR_SET_DUMPABLE), or a setuid or
  // unreadable program.
  [[nodiscard]] bool hidden() const { return hidden_; }

 private:
  Process(Fd directory, Fd pidfd) : directory_(std::move(directory)), pidfd_(std::move(pidfd)) {}
  Result<void> gather();

  Fd directory_;
  Fd pidfd_;  // only where the caller gave one
  Uid owner_{0};
  Gid group_{0};
  bool hidden_ = false;
};

// The user namespace that a process was in when it was looked at (ioctl_nsfs(2)).
struct UserNamespace {
  Fd fd;
  Uid owner{0};           // the user who made it
  bool is_child = false;  // its parent is this process's own
};
// Fails where the kernel does not let us look (IM-CHILD).
Result<UserNamespace> user_namespace_of(const Process& process);

}  // namespace userns
