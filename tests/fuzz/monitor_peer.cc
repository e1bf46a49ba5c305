// What a container's monitor hears: requests over its socket, from programs of the caller's, with
// file descriptors; and from inside, that the system is up.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "frontend/monitor/client.h"
#include "frontend/monitor/control.h"
#include "frontend/run/boot_news.h"
#include "tests/fuzz/property.h"

using namespace userns;
using namespace userns::frontend;

namespace {

constexpr std::size_t kMostFds = 5;

void check_request(std::string_view text) {
  const auto request = parse_request(text);
  if (!request) {
    must(!request.error().text.empty(), "a refusal says why");
    return;
  }
  const bool is_exec = request->kind == Request::Kind::kExec;
  must(is_exec != request->words.empty(), "exec has a command, and nothing else has one");
  must(request->timeout >= 0, "a stop waits for no negative time");
  const auto again = parse_request(to_text(*request));
  must(again.has_value() && to_text(*again) == to_text(*request),
       "a request comes through unchanged");
}

void check_size(std::string_view text) {
  const auto size = parse_size(text);
  if (size) must(to_text(*size) == text, "a size has one spelling");
}

struct Pair {
  std::array<Fd, 2> ends;
  explicit Pair(int type) {
    int raw[2] = {-1, -1};
    must(::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, raw) == 0,
         "there are sockets");
    ends = {Fd(raw[0]), Fd(raw[1])};
  }
};

// False where the kernel does not take it.
bool send(const Fd& socket, std::string_view text, std::size_t fds) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  struct alignas(cmsghdr) {
    std::array<char, CMSG_SPACE(kMostFds * sizeof(int))> bytes;
  } space{};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  if (fds > 0) {
    packet.msg_control = space.bytes.data();
    packet.msg_controllen = CMSG_SPACE(fds * sizeof(int));
    cmsghdr* const entry = CMSG_FIRSTHDR(&packet);
    entry->cmsg_level = SOL_SOCKET;
    entry->cmsg_type = SCM_RIGHTS;
    entry->cmsg_len = CMSG_LEN(fds * sizeof(int));
    for (std::size_t at = 0; at < fds; ++at) {
      const int fd = socket.get();
      std::memcpy(CMSG_DATA(entry) + at * sizeof(int), &fd, sizeof fd);
    }
  }
  return ::sendmsg(socket.get(), &packet, MSG_NOSIGNAL) >= 0;
}

int lowest_free() {
  const Fd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return fd.get();
}

void check_packet(std::string_view text, std::size_t fds) {
  const int before = lowest_free();
  {
    Pair pair(SOCK_SEQPACKET);
    if (!send(pair.ends[0], text, fds)) return;
    Client client(std::move(pair.ends[1]), Client::Mode::kNew);
    const auto packet = client.receive();
    must(packet.has_value() == client.open(), "what is not taken ends the connection");
    if (packet) {
      must(packet->text == text && !text.empty(), "a packet arrives whole");
      must(packet->fds.size() == fds, "and with all that came with it");
      check_request(packet->text);
    } else {
      must(text.empty() || text.size() > kLargestRequest || fds > 3, "a good packet is taken");
    }
  }
  must(lowest_free() == before, "no file descriptor stays open");
}

void check_news(std::string_view text, std::size_t fds) {
  const int before = lowest_free();
  for (const pid_t init : {::getpid(), 1}) {
    Pair pair(SOCK_DGRAM);
    const int on = 1;
    (void)::setsockopt(pair.ends[1].get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    if (!send(pair.ends[0], text, fds)) return;
    const bool ready = says_ready(pair.ends[1], init);
    must(!ready || init == ::getpid(), "only init is believed");
    must(!ready || text.find("READY=1") != std::string_view::npos, "and only what it says");
  }
  must(lowest_free() == before, "no file descriptor of the container's stays open");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(data, size);
  check_request(text);
  check_size(text);
  if (text.empty()) return 0;
  const std::size_t fds = static_cast<unsigned char>(text.front()) % (kMostFds + 1);
  check_packet(text, 0);
  check_packet(text.substr(1), fds);
  check_news(text.substr(1), fds);
  return 0;
}
