#include "frontend/oci/engine/console_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "frontend/store/files.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
// By the fd of its directory's entry: the path may be longer than an address.
Result<Fd> connect_to(std::string_view name, const std::string& path) {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("cannot make a socket");
  const auto place = open_at(AT_FDCWD, path.c_str(), O_PATH);
  if (!place) return fail({}, concat("cannot reach ", name, " ", quoted(path)), place.error().code);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  concat("/proc/self/fd/", place->get()).copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(concat("cannot reach ", name, " ", quoted(path)));
  return socket;
}

Result<void> send_with_fd(const Fd& socket, std::string_view text, const Fd& fd) {
  std::string copy(text);
  iovec part{copy.data(), copy.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = space.data();
  packet.msg_controllen = space.size();
  cmsghdr* const entry = CMSG_FIRSTHDR(&packet);
  entry->cmsg_level = SOL_SOCKET;
  entry->cmsg_type = SCM_RIGHTS;
  const int raw = fd.get();
  entry->cmsg_len = CMSG_LEN(sizeof raw);
  std::memcpy(CMSG_DATA(entry), &raw, sizeof raw);
  ssize_t sent = -1;
  while ((sent = ::sendmsg(socket.get(), &packet, MSG_NOSIGNAL)) < 0)
    if (errno != EINTR) return fail_errno("cannot send to the socket");
  return write_all(socket, text.substr(static_cast<std::size_t>(sent)));
}

Result<TakeTerminal> to_console_socket(const std::string& path) {
  auto socket = TRY(connect_to("--console-socket", path));
  const auto shared = std::make_shared<Fd>(std::move(socket));
  return TakeTerminal([shared](const Fd& master) -> Result<void> {
    const auto sent = send_with_fd(*shared, "/dev/console", master);
    if (sent) return {};
    return fail({}, "cannot send the terminal to --console-socket", sent.error().code);
  });
}

Result<void> write_pid_file(const std::string& path, pid_t pid) {
  if (path.empty()) return {};
  const auto slash = path.rfind('/');
  const auto directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const auto dir = open_at(AT_FDCWD, directory.c_str(), O_RDONLY | O_DIRECTORY);
  const auto name = slash == std::string::npos ? path : path.substr(slash + 1);
  const auto done = dir ? replace_file_of_this_boot(*dir, name.c_str(), concat(pid))
                        : Result<void>(std::unexpected(dir.error()));
  if (done) return {};
  return fail({}, concat("cannot write --pid-file ", quoted(path)), done.error().code);
}

}  // namespace userns::frontend
