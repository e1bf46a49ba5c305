#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstring>
#include <string_view>

#include "frontend/run/boot_news.h"
#include "policy/text.h"

namespace userns::frontend {

bool says_ready(const Fd& socket, pid_t init) {
  std::array<char, 4096> text;  // NOLINT(*-member-init): only what is received is read
  iovec part{text.data(), text.size()};
  struct alignas(cmsghdr) {
    std::array<char, CMSG_SPACE(sizeof(ucred))> bytes;
  } space{};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = space.bytes.data();
  packet.msg_controllen = space.bytes.size();
  const auto got = ::recvmsg(socket.get(), &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  const cmsghdr* const entry = got > 0 ? CMSG_FIRSTHDR(&packet) : nullptr;
  if (entry == nullptr || entry->cmsg_type != SCM_CREDENTIALS) return false;
  ucred sender{};
  std::memcpy(&sender, CMSG_DATA(entry), sizeof sender);
  if (sender.pid != init) return false;
  for (std::string_view rest(text.data(), static_cast<std::size_t>(got)); !rest.empty();)
    if (take_until(rest, '\n') == "READY=1") return true;
  return false;
}

BootEnd boot_end(int wait_status) {
  if (!WIFSIGNALED(wait_status))
    return WEXITSTATUS(wait_status) == 0 ? BootEnd::kPowerOff : BootEnd::kOther;
  if (WTERMSIG(wait_status) == SIGINT) return BootEnd::kPowerOff;
  return WTERMSIG(wait_status) == SIGHUP ? BootEnd::kReboot : BootEnd::kOther;
}

}  // namespace userns::frontend
