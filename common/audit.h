// The record of a decision and of how it ended, the decision's before the act so that a kill cannot
// hide it.
//
// To the kernel's audit system (type VIRT_RESOURCE, by libaudit) and, always, to syslog (authpriv):
// with audit disabled the kernel takes a record, answers that all is well and drops it. Neither
// being there is an error: the host keeps no such log. No record waits for whoever reads the logs.
// Source: audit_log_user_message(3), unix(7).
#pragma once

#include <string_view>

#include "common/fd.h"
#include "policy/error.h"

namespace userns {

class AuditLog {
 public:
  explicit AuditLog(std::string_view program) : program_(program) {}  // "newuidmap"; static storage
  // Opens both logs: before a lock-down, after which there are no new sockets. Otherwise the first
  // record does it. ST-STATE where the caller's limit of open files leaves no room: nothing is
  // done that nobody would hear of.
  Result<void> open();
  // `words`: key=value; numbers and fixed words only, nothing of the caller's. Needs
  // CAP_AUDIT_WRITE permitted for the kernel's record, here and in open(); syslog otherwise.
  // syslog's copy says where the audit system did not take it.
  void granted(std::string_view words);
  // Refused; or failed, if it was granted before.
  void not_done(std::string_view words, const Error& why);

 private:
  void record(std::string_view words, std::string_view rule, std::string_view end);

  std::string_view program_;
  bool is_open_ = false, is_granted_ = false;
  Fd kernel_, syslog_;
};

}  // namespace userns
