#include "common/audit.h"

#include <libaudit.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "common/capability.h"
#include "policy/text.h"

// libaudit asks libcap-ng one thing, when the kernel refuses a record: is CAP_AUDIT_WRITE
// effective? libcap-ng would open files below /proc for that, in a process that is locked by then,
// and before main() as well. These take its place, so that none of it is linked.
extern "C" {
int capng_have_capability(int /*which*/, unsigned capability) {
  const cap_t now = ::cap_get_proc();
  cap_flag_value_t value = CAP_CLEAR;
  const auto wanted = static_cast<cap_value_t>(capability);
  (void)(now != nullptr && ::cap_get_flag(now, wanted, CAP_EFFECTIVE, &value) == 0);
  ::cap_free(now);
  return value == CAP_SET ? 1 : 0;
}
void* capng_save_state() { return nullptr; }
void capng_restore_state(void** /*state*/) {}
}

namespace userns {

Result<void> AuditLog::open() {
  is_open_ = true;
  kernel_ = Fd(with_capability({CAP_AUDIT_WRITE}, [] { return ::audit_open(); }));
  syslog_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!syslog_.valid()) return fail("ST-STATE", "cannot open the logs", errno);
  return {};
}

void AuditLog::granted(std::string_view words) {
  is_granted_ = true;
  record(words, "none", "granted");
}

void AuditLog::not_done(std::string_view words, const Error& why) {
  record(words, why.rule.empty() ? "system" : why.rule, is_granted_ ? "failed" : "refused");
}

void AuditLog::record(std::string_view words, std::string_view rule, std::string_view end) {
  if (!is_open_) (void)open();
  const bool granted = rule == "none";
  const std::string text = concat("op=", program_, " ", words, " rule=", rule, " end=", end);
  // Host, address and terminal are given, as "none": libaudit would look for them.
  const int answer = with_capability({CAP_AUDIT_WRITE}, [&] {
    return ::audit_log_user_message(kernel_.get(), AUDIT_VIRT_RESOURCE, text.c_str(), "", "", "",
                                    granted ? 1 : 0);
  });
  // syslog(3) would read the time zone at each start and wait for a reader; the daemon knows the
  // time.
  const std::string line =
      concat("<", LOG_AUTHPRIV | (granted ? LOG_INFO : LOG_NOTICE), ">", program_, "[", ::getpid(),
             "]: ", end, " ", words, " rule=", rule, answer > 0 ? "" : " (not in the audit log)");
  const sockaddr_un to{.sun_family = AF_UNIX, .sun_path = "/dev/log"};
  (void)::sendto(syslog_.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

}  // namespace userns
