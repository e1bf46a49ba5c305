#include "frontend/container/connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "frontend/run/exit_status.h"
#include "frontend/spec/tell.h"
#include "frontend/store/processes.h"
#include "frontend/store/state.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kMostFds = 4;
constexpr int kBacklog = 64;
constexpr int kTries = 50;  // whether it is its end
constexpr int kPause = 10;  // ms
constexpr std::chrono::milliseconds kLookEvery{250};

struct alignas(cmsghdr) FdSpace {
  std::array<char, CMSG_SPACE(kMostFds * sizeof(int))> bytes{};
};

Result<Fd> new_socket(int flags) {
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
  if (!socket.valid()) return fail_errno("cannot make a socket");
  return socket;
}

sockaddr_un socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

std::unexpected<Error> not_running(const Container& container) {
  return fail({}, concat(container.name(), " is not running; to start it: userns-run start ",
                         container.name()));
}

// It runs, and its socket is gone. At its end the socket goes a little before the lock.
bool is_out_of_reach(const Container& container) {
  for (int left = kTries; left > 0; --left) {
    const auto state = read_state(container.dir());
    if (::faccessat(container.dir().get(), kControlFile, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
        !state || !*state)
      return false;
    (void)::poll(nullptr, 0, kPause);
  }
  return true;
}

std::unexpected<Error> socket_is_gone(const Container& container) {
  return fail({},
              concat(container.name(), " is running, but the socket of its monitor (",
                     container.path(), "/", std::string_view(kControlFile),
                     ") is gone; userns-run stop ", container.name(), " ends it all the same"),
              ENOTCONN);
}

// For connecting and sending; 0: for ever.
void wait_at_most(const Fd& socket, std::chrono::milliseconds time) {
  const timeval limit{.tv_sec = static_cast<time_t>(time.count() / 1000),
                      .tv_usec = static_cast<suseconds_t>(time.count() % 1000 * 1000)};
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

bool is_asked_to_end(const Signals& signals) {
  for (auto number = signals.next(); number; number = signals.next())
    if (*number == SIGINT || *number == SIGTERM || *number == SIGHUP) return true;
  return false;
}

ProcessId monitor_of(const Container& container) {
  const auto state = read_state(container.dir());
  return state && *state ? (*state)->monitor : ProcessId{};
}

void attach(msghdr& packet, FdSpace& space, const std::vector<int>& fds) {
  if (fds.empty()) return;
  packet.msg_control = space.bytes.data();
  packet.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
  cmsghdr* const entry = CMSG_FIRSTHDR(&packet);
  entry->cmsg_level = SOL_SOCKET;
  entry->cmsg_type = SCM_RIGHTS;
  entry->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(entry), fds.data(), fds.size() * sizeof(int));
}

}  // namespace

std::string address_in(const Fd& directory, const char* name) {
  return concat("/proc/self/fd/", directory.get(), "/", std::string_view(name));
}

Result<Fd> listen_in(const Fd& directory, const char* name) {
  auto socket = new_socket(SOCK_NONBLOCK);
  if (!socket) return socket;
  const auto address = socket_address(address_in(directory, name));
  (void)::unlinkat(directory.get(), name, 0);
  const auto mask = ::umask(0177);
  const bool bound =
      ::bind(socket->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int code = errno;
  ::umask(mask);
  if (!bound)
    return fail({}, "cannot make the monitor's socket in the container's directory", code);
  if (::listen(socket->get(), kBacklog) != 0)
    return fail_errno("cannot listen on the monitor's socket");
  return socket;
}

Result<Connection> Connection::open(const Container& container) {
  auto socket = TRY(new_socket(0));
  const auto address = socket_address(address_in(container.dir(), kControlFile));
  // Many may wait for a monitor that hangs.
  wait_at_most(socket, kMonitorAnswers);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    wait_at_most(socket, {});
    return Connection(std::move(socket));
  }
  if (errno == EAGAIN) return monitor_is_silent(container);
  if (errno == ENOENT || errno == ECONNREFUSED)
    return is_out_of_reach(container) ? socket_is_gone(container) : not_running(container);
  return fail_errno(concat("cannot reach the monitor of ", container.name()));
}

namespace {

// What is longer than a packet goes in memory of its own.
Result<Fd> sealed(std::string_view text) {
  if (text.size() > kLongestExec)
    return fail({}, concat("the command and its environment are too long together: at most ",
                           kLongestExec, " bytes"));
  Fd memory(::memfd_create("userns-run exec", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid()) return fail_errno("cannot make memory for the command");
  TRY(write_all(memory, text));
  if (::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) != 0)
    return fail_errno("cannot seal the command's memory");
  return memory;
}

}  // namespace

Result<void> Connection::ask(const Request& request, const std::vector<int>& fds) const {
  auto text = to_text(request);
  if (text.size() > kLargestRequest && request.kind == Request::Kind::kExec) {
    const auto memory = TRY(sealed(text));
    auto all = fds;
    all.push_back(memory.get());
    return ask({.kind = Request::Kind::kLongExec}, all);
  }
  iovec part{text.data(), text.size()};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  FdSpace space{};
  attach(packet, space, fds);
  while (::sendmsg(socket_.get(), &packet, MSG_NOSIGNAL) < 0)
    if (errno == EPIPE || errno == ECONNRESET)
      return fail({}, "the container has just ended");
    else if (errno != EINTR)
      return fail_errno("cannot reach the container's monitor");
  return {};
}

bool Connection::send(Said what, std::string_view text) const {
  char kind = static_cast<char>(what);
  std::array<iovec, 2> parts{
      iovec{&kind, 1}, iovec{const_cast<char*>(text.data()), text.size()}};  // NOLINT(*-const-cast)
  msghdr packet{};
  packet.msg_iov = parts.data();
  packet.msg_iovlen = parts.size();
  while (::sendmsg(socket_.get(), &packet, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    if (errno != EINTR) return false;
  return true;
}

std::optional<Answer> Connection::receive() const {
  std::array<char, kLargestData + 1> text;  // NOLINT(*-member-init): only what is received is read
  iovec part{text.data(), text.size()};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  FdSpace space{};
  packet.msg_control = space.bytes.data();
  packet.msg_controllen = space.bytes.size();
  ssize_t got = -1;
  // An end that goes with something of ours unread is told once, before its last words, which are
  // still there.
  while ((got = ::recvmsg(socket_.get(), &packet, MSG_CMSG_CLOEXEC)) < 0)
    if (errno != EINTR && errno != ECONNRESET) return std::nullopt;
  if (got == 0) return std::nullopt;
  Answer answer{.said = static_cast<Said>(text[0])};
  answer.text.assign(text.data() + 1, static_cast<std::size_t>(got) - 1);
  const cmsghdr* const entry = CMSG_FIRSTHDR(&packet);
  if (entry != nullptr && entry->cmsg_type == SCM_RIGHTS &&
      entry->cmsg_len == CMSG_LEN(sizeof(int))) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(entry), sizeof fd);
    answer.fd = Fd(fd);
  }
  return answer;
}

bool Connection::has_answer(std::chrono::milliseconds within) const {
  pollfd polled{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&polled, 1, static_cast<int>(within.count())) > 0;
}

Result<Answer> Connection::receive_soon(const Container& container, const Signals* heeded) const {
  for (auto waited = kLookEvery; !has_answer(kLookEvery); waited += kLookEvery)
    if (heeded != nullptr && is_asked_to_end(*heeded))
      return fail({}, "given up before the command began", EINTR);
    else if (waited >= kMonitorAnswers || monitor_of(container).is_stopped())
      return monitor_is_silent(container);
  auto answer = receive();
  return answer ? Result<Answer>(std::move(*answer)) : not_running(container);
}

// --- a monitor that does not answer
// ---------------------------------------------------------------

std::unexpected<Error> monitor_is_silent(const Container& container) {
  const auto monitor = monitor_of(container);
  const auto& name = container.name();
  const auto stop = concat("userns-run stop ", name, " ends the container all the same");
  if (monitor.is_stopped())
    return fail({},
                concat("the monitor of ", name, " is stopped (process ", monitor.pid,
                       "): kill -CONT ", monitor.pid, " lets it go on; ", stop),
                ETIMEDOUT);
  return fail({},
              concat("the monitor of ", name,
                     monitor.pid == 0 ? "" : concat(" (process ", monitor.pid, ")"),
                     " does not answer: try again; ", stop),
              ETIMEDOUT);
}

std::unexpected<Error> monitor_was_killed(const Container& container) {
  return fail(
      {}, concat("the monitor of ", container.name(), " was killed, and the container with it"));
}

void wake_monitor(const Container& container) {
  const auto monitor = monitor_of(container);
  if (!monitor.is_stopped()) return;
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, monitor.pid, 0)));
  // After the pidfd is open: then the number and the time of start are of the process that it
  // holds.
  if (pidfd.valid() && monitor.lives())
    (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGCONT, nullptr, 0);
}

// --- the first process
// ----------------------------------------------------------------------------

namespace {

Result<InitProcess> ask_for_init(const Container& container) {
  const auto connection = TRY(Connection::open(container));
  TRY(connection.ask({.kind = Request::Kind::kInit}));
  auto answer = TRY(connection.receive_soon(container));
  const auto pid = parse_decimal(answer.text);
  if (answer.said != Said::kOk || !answer.fd.valid() || !pid)
    return fail({}, concat("the monitor of ", container.name(), " says: ", answer.text));
  return InitProcess{.pid = static_cast<pid_t>(*pid), .pidfd = std::move(answer.fd)};
}

std::optional<InitProcess> init_written_down(const Container& container) {
  const auto state = read_state(container.dir());
  if (!state || !*state || (*state)->init.pid == 0) return std::nullopt;
  const auto& init = (*state)->init;
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, init.pid, 0)));
  if (!pidfd.valid() || !init.lives()) return std::nullopt;
  return InitProcess{.pid = init.pid, .pidfd = std::move(pidfd)};
}

}  // namespace

Result<InitProcess> find_init_process(const Container& container) {
  auto init = ask_for_init(container);
  if (init || (init.error().code != ETIMEDOUT && init.error().code != ENOTCONN)) return init;
  auto written_down = init_written_down(container);
  return written_down ? Result<InitProcess>(std::move(*written_down)) : std::move(init);
}

Result<InitProcess> find_way_in(const Container& container) {
  auto init = find_init_process(container);
  if (!init) return init;
  const auto space = open_at(AT_FDCWD, concat("/proc/", init->pid, "/ns/user").c_str(), O_RDONLY);
  if (space || space.error().code != EACCES) return init;
  const auto child = first_child(init->pid);
  Fd pidfd(child ? static_cast<int>(::syscall(SYS_pidfd_open, *child, 0)) : -1);
  // Still its child: then the number was not somebody else's when the pidfd was opened. The same
  // with its own.
  if (!pidfd.valid() || first_child(init->pid) != child ||
      ::syscall(SYS_pidfd_send_signal, init->pidfd.get(), 0, nullptr, 0) != 0)
    return fail({}, concat(container.name(), " has just ended"));
  return InitProcess{.pid = *child, .pidfd = std::move(pidfd)};
}

void say_what_was_met(const Container& container, std::string_view met) {
  if (!met.empty())
    tell("userns-run", {.rule = {}, .code = 0, .text = concat(container.name(), ": ", met)});
}

int end_in(const Answer& answer) {
  return static_cast<int>(parse_decimal(answer.text).value_or(kExitOwnFailure));
}

Result<int> await_end(const Container& container, const Connection& connection) {
  std::optional<int> status;
  while (true) {
    while (!connection.has_answer(4 * kLookEvery))
      if (monitor_of(container).is_stopped()) return monitor_is_silent(container);
    const auto answer = connection.receive();
    if (!answer) break;
    if (answer->said == Said::kMet) say_what_was_met(container, answer->text);
    if (answer->said == Said::kError)
      return fail({}, concat("the monitor of ", container.name(), " says: ", answer->text), EBUSY);
    if (answer->said == Said::kEnd) status = end_in(*answer);
  }
  return status ? Result<int>(*status) : monitor_was_killed(container);
}

}  // namespace userns::frontend
