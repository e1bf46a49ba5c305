#include "frontend/run/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace userns::frontend {
namespace {

struct Header {
  Message::Kind kind;
  int exit_status;
  int code;
};
struct alignas(cmsghdr) FdSpace {
  std::array<char, CMSG_SPACE(sizeof(int))> bytes{};
};

void attach(msghdr& packet, FdSpace& space, int fd) {
  packet.msg_control = space.bytes.data();
  packet.msg_controllen = space.bytes.size();
  cmsghdr* const entry = CMSG_FIRSTHDR(&packet);
  entry->cmsg_level = SOL_SOCKET;
  entry->cmsg_type = SCM_RIGHTS;
  entry->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(entry), &fd, sizeof fd);
}

Fd attached(msghdr& packet) {
  const cmsghdr* const entry = CMSG_FIRSTHDR(&packet);
  if (entry == nullptr || entry->cmsg_type != SCM_RIGHTS ||
      entry->cmsg_len != CMSG_LEN(sizeof(int)))
    return {};
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(entry), sizeof fd);
  return Fd(fd);
}

}  // namespace

Result<void> Channel::send(const Message& message) const {
  Header header{message.kind, message.exit_status, message.code};
  auto* const text =
      const_cast<char*>(message.text.data());  // NOLINT(*-const-cast): as sendmsg(2) takes it
  std::array<iovec, 2> parts{iovec{&header, sizeof header},
                             iovec{text, std::min(message.text.size(), kLongestText)}};
  msghdr packet{};
  packet.msg_iov = parts.data();
  packet.msg_iovlen = parts.size();
  FdSpace space{};
  if (message.fd.valid()) attach(packet, space, message.fd.get());
  while (::sendmsg(end_.get(), &packet, MSG_NOSIGNAL) < 0)
    if (errno != EINTR) return fail_errno("cannot reach the other side of the start");
  return {};
}

Result<std::optional<Message>> Channel::receive() const {
  Header header{};
  std::array<char, kLongestText> text;  // NOLINT(*-member-init): only what is received is read
  std::array<iovec, 2> parts{iovec{&header, sizeof header}, iovec{text.data(), text.size()}};
  msghdr packet{};
  packet.msg_iov = parts.data();
  packet.msg_iovlen = parts.size();
  FdSpace space{};
  packet.msg_control = space.bytes.data();
  packet.msg_controllen = space.bytes.size();
  ssize_t got = -1;
  // An end that goes with something of ours unread is told once, before its last words, which are
  // still there.
  while ((got = ::recvmsg(end_.get(), &packet, MSG_CMSG_CLOEXEC)) < 0)
    if (errno != EINTR && errno != ECONNRESET)
      return fail_errno("cannot hear the other side of the start");
  if (got == 0) return std::nullopt;
  if (static_cast<std::size_t>(got) < sizeof header)
    return fail({}, "the other side of the start sent a short message");
  Message message{.kind = header.kind, .exit_status = header.exit_status, .code = header.code};
  message.text.assign(text.data(), static_cast<std::size_t>(got) - sizeof header);
  message.fd = attached(packet);
  return message;
}

bool Channel::has_message() const {
  pollfd polled{.fd = end_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&polled, 1, 0) > 0;
}

Result<ChannelPair> make_channel() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return fail_errno("cannot make a socket pair");
  return ChannelPair{Channel(Fd(ends[0])), Channel(Fd(ends[1]))};
}

}  // namespace userns::frontend
