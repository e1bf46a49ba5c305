#include "frontend/monitor/client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kMostFds = 4;

struct alignas(cmsghdr) FdSpace {
  std::array<char, CMSG_SPACE(kMostFds * sizeof(int))> bytes{};
};

// Every fd that came is owned at once, whatever it came with.
std::vector<Fd> fds_of(msghdr& packet) {
  std::vector<Fd> fds;
  for (cmsghdr* entry = CMSG_FIRSTHDR(&packet); entry != nullptr;
       entry = CMSG_NXTHDR(&packet, entry)) {
    if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= entry->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(entry) + at, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

std::optional<Packet> Client::receive() {
  std::string text(kLargestRequest, '\0');
  iovec part{text.data(), text.size()};
  FdSpace space{};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = space.bytes.data();
  packet.msg_controllen = space.bytes.size();
  const auto got = ::recvmsg(connection_.get(), &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  auto fds = got < 0 ? std::vector<Fd>{} : fds_of(packet);
  if (got <= 0 || (packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    close();
    return std::nullopt;
  }
  text.resize(static_cast<std::size_t>(got));
  return Packet{.text = std::move(text), .fds = std::move(fds)};
}

bool Client::say(Said what, std::string_view text, const Fd* fd) {
  char kind = static_cast<char>(what);
  std::array<iovec, 2> parts{
      iovec{&kind, 1}, iovec{const_cast<char*>(text.data()), text.size()}};  // NOLINT(*-const-cast)
  msghdr packet{};
  packet.msg_iov = parts.data();
  packet.msg_iovlen = parts.size();
  FdSpace space{};
  if (fd != nullptr) {
    packet.msg_control = space.bytes.data();
    packet.msg_controllen = CMSG_SPACE(sizeof(int));
    cmsghdr* const entry = CMSG_FIRSTHDR(&packet);
    entry->cmsg_level = SOL_SOCKET;
    entry->cmsg_type = SCM_RIGHTS;
    entry->cmsg_len = CMSG_LEN(sizeof(int));
    const int raw = fd->get();
    std::memcpy(CMSG_DATA(entry), &raw, sizeof raw);
  }
  if (::sendmsg(connection_.get(), &packet, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
  if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) close();
  return false;
}

void Client::catch_up(const Ring& ring) {
  while (open() && position < ring.end()) {
    if (position < ring.begin()) {
      if (!say(Said::kLost, concat(ring.begin() - position))) return;
      position = ring.begin();
    }
    const auto text = ring.after(position, kLargestData);
    if (!say(Said::kData, text)) return;
    position += text.size();
  }
}

Result<Request> read_long_exec(Packet& packet) {
  constexpr int kFixed = F_SEAL_WRITE | F_SEAL_SHRINK;
  if (packet.fds.empty()) return fail({}, "exec-long needs a memfd");
  const Fd text = std::move(packet.fds.back());
  packet.fds.pop_back();
  if (const int seals = ::fcntl(text.get(), F_GET_SEALS); seals < 0 || (seals & kFixed) != kFixed)
    return fail({}, "exec-long needs a memfd that is sealed");
  if (::lseek(text.get(), 0, SEEK_SET) != 0) return fail_errno("cannot read the command");
  const auto whole = TRY(read_all(text, kLongestExec));
  auto request = parse_request(whole);
  if (request && request->kind != Request::Kind::kExec)
    return fail({}, "exec-long holds no command");
  return request;
}

bool may_be_heard(const Fd& connection) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == ::getuid());
}

}  // namespace userns::frontend
