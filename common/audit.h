// The record of every decision, made before the act so that a kill cannot hide it.
//
// To the kernel's audit system (type VIRT_RESOURCE) and to syslog (authpriv): with audit
// disabled the kernel takes a record, returns success and drops it, and asking whether it is
// enabled needs CAP_AUDIT_CONTROL, which is not ours to have. Neither being there is not an
// error: the host keeps no such log. Source: audit_log_user_message(3), netlink(7).
#pragma once

#include <string>
#include <string_view>

#include "common/fd.h"

namespace userns {

class AuditLog {
 public:
  explicit AuditLog(std::string_view program) : program_(program) {}  // "newuidmap"; static storage
  // Opens both logs: before a lock-down, after which there are no new sockets. Otherwise the first
  // record does it.
  void open();
  // key=value words; numbers and fixed words only, nothing of the caller's. Needs CAP_AUDIT_WRITE
  // permitted for the kernel's record, here and in open(); syslog otherwise.
  void record(std::string_view text, bool granted);

 private:
  std::string_view program_;
  Fd kernel_, syslog_;
  std::string file_;  // empty until they are open
};

}  // namespace userns
