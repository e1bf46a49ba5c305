// The record of every decision, made before the act so that a kill cannot hide it.
//
// To the kernel's audit system (type VIRT_RESOURCE) and to syslog (authpriv): with audit
// disabled the kernel takes a record, returns success and drops it, and asking whether it is
// enabled needs CAP_AUDIT_CONTROL, which is not ours to have. Neither being there is not an
// error: the host keeps no such log. Source: audit_log_user_message(3).
#pragma once

#include <string_view>

namespace userns {

struct AuditRecord {
  std::string_view program;  // "newuidmap"
  std::string_view text;     // key=value words; numbers and fixed words only, nothing of the caller's
  bool granted = false;
};

// Needs CAP_AUDIT_WRITE permitted for the kernel's record; syslog otherwise.
void audit(const AuditRecord& record);

}  // namespace userns
