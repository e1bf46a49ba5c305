#include "common/audit.h"

#include <libaudit.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

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
  // syslog(3) would read the time zone at each start; the daemon knows the time.
  const Fd syslog(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const sockaddr_un daemon{.sun_family = AF_UNIX, .sun_path = "/dev/log"};
  const std::string line = cat("<", LOG_AUTHPRIV | (record.granted ? LOG_INFO : LOG_NOTICE), ">", record.program, "[",
                               ::getpid(), "]: ", record.granted ? "granted " : "refused ", record.text);
  (void)::sendto(syslog.get(), line.data(), line.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&daemon),
                 sizeof daemon);
}

}  // namespace userns
