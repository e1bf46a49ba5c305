#include "frontend/start/net/netlink_request.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace userns::frontend {

NetlinkRequest& NetlinkRequest::put(std::uint16_t type, std::string_view value) {
  const nlattr attribute{.nla_len = static_cast<std::uint16_t>(sizeof(nlattr) + value.size()),
                         .nla_type = type};
  append({reinterpret_cast<const char*>(&attribute), sizeof attribute});
  append(value);
  return *this;
}

std::size_t NetlinkRequest::open(std::uint16_t type) {
  const auto opened = body_.size();
  put(type, {});
  return opened;
}

void NetlinkRequest::close(std::size_t opened) {
  const auto length = static_cast<std::uint16_t>(body_.size() - opened);
  std::memcpy(body_.data() + opened, &length, sizeof length);
}

int NetlinkRequest::send(const Fd& socket) {
  head_.nlmsg_len = static_cast<std::uint32_t>(sizeof head_ + body_.size());
  const auto text = std::string(reinterpret_cast<const char*>(&head_), sizeof head_) + body_;
  struct {
    nlmsghdr head;
    nlmsgerr error;
    std::array<char, 512> rest;
  } answer{};
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(socket.get(), text.data(), text.size(), 0,
               reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0 ||
      ::recv(socket.get(), &answer, sizeof answer, 0) < 0)
    return errno;
  return answer.head.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EBADMSG;
}

void NetlinkRequest::append(std::string_view bytes) {
  body_ += bytes;
  body_.resize(NLMSG_ALIGN(body_.size()));
}

Fd open_rtnetlink() { return Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)); }

}  // namespace userns::frontend
