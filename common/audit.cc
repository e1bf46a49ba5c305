#include "common/audit.h"

#include <libaudit.h>
#include <syslog.h>

#include <string>

#include "common/capability.h"
#include "common/fd.h"
#include "policy/text.h"

namespace userns {

void audit(const AuditRecord& record) {
  const std::string text = cat("op=", record.program, " ", record.text);
  with_capability({CAP_AUDIT_WRITE}, [&] {
    const Fd kernel(::audit_open());
    return kernel.valid() ? ::audit_log_user_message(kernel.get(), AUDIT_VIRT_RESOURCE, text.c_str(), "?", "?", "?",
                                                     record.granted ? 1 : 0)
                          : -1;
  });
  const std::string program(record.program);
  ::openlog(program.c_str(), LOG_PID, LOG_AUTHPRIV);
  ::syslog(record.granted ? LOG_INFO : LOG_NOTICE, "%s %s", record.granted ? "granted" : "refused",
           std::string(record.text).c_str());
  ::closelog();
}

}  // namespace userns
