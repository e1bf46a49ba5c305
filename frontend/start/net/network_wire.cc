#include "frontend/start/net/network_wire.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace userns::frontend {

Result<void> send_word(const Fd& socket, std::string_view text, const Fd* fd) {
  iovec part{.iov_base = const_cast<char*>(text.data()),  // NOLINT(*-const-cast): as sendmsg(2)
             .iov_len = text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd != nullptr) {
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    auto* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = fd->get();
    std::memcpy(CMSG_DATA(head), &number, sizeof number);
  }
  if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
    return fail_errno("cannot speak to the network's process");
  return {};
}

std::optional<NetworkWord> receive_word(const Fd& socket) {
  std::string text(kLongestWord, '\0');
  iovec part{.iov_base = text.data(), .iov_len = text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  ssize_t got = 0;
  while ((got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
    continue;
  if (got <= 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(got));
  NetworkWord word{.text = std::move(text), .fd = {}};
  const auto* const head = CMSG_FIRSTHDR(&message);
  if (head != nullptr && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof(int))) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(head), sizeof number);
    word.fd = Fd(number);
  }
  return word;
}

}  // namespace userns::frontend
