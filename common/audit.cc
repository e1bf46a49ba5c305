#include "common/audit.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "common/capability.h"
#include "policy/text.h"

namespace userns {
namespace {

// A message of libaudit's audit_log_user_message(3), AUDIT_VIRT_RESOURCE. Its own code is not used:
// it opens files where the kernel refuses a record.
constexpr std::uint16_t kVirtResource = 2501;

// The file that runs; nothing of its name where that could mislead a reader of the log.
std::string own_file() {
  std::array<char, 4096> path{};
  const auto length = ::readlink("/proc/self/exe", path.data(), path.size());
  const std::string_view name(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  const auto plain = [](char c) { return c > ' ' && c < 0x7f && c != '"'; };
  return std::ranges::all_of(name, plain) ? concat("\"", name, "\"") : "?";
}

void send(const Fd& socket, std::string_view message, const auto& to) {
  (void)::sendto(socket.get(), message.data(), message.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

}  // namespace

void AuditLog::open() {
  const auto open_kernels = [] {
    return ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
  };
  kernel_ = Fd(with_capability({CAP_AUDIT_WRITE}, open_kernels));
  syslog_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  file_ = own_file();
}

void AuditLog::record(std::string_view words, bool granted) {
  if (file_.empty()) open();
  const std::string text =
      concat("op=", program_, " ", words, " exe=", file_,
             " hostname=? addr=? terminal=? res=", granted ? "success" : "failed");
  nlmsghdr head{};
  head.nlmsg_len = static_cast<std::uint32_t>(NLMSG_LENGTH(text.size() + 1));
  head.nlmsg_type = kVirtResource;
  head.nlmsg_flags = NLM_F_REQUEST;
  const std::string message =
      concat(std::string_view(reinterpret_cast<const char*>(&head), sizeof head), text, '\0');
  // The kernel has taken or refused it when sendto(2) returns.
  with_capability({CAP_AUDIT_WRITE}, [&] {
    send(kernel_, message,
         sockaddr_nl{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0});
    return 0;
  });
  // syslog(3) would read the time zone at each start; the daemon knows the time.
  send(syslog_,
       concat("<", LOG_AUTHPRIV | (granted ? LOG_INFO : LOG_NOTICE), ">", program_, "[", ::getpid(),
              "]: ", granted ? "granted " : "refused ", words),
       sockaddr_un{.sun_family = AF_UNIX, .sun_path = "/dev/log"});
}

}  // namespace userns
