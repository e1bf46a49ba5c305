#include "frontend/start/net/network_place.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "frontend/run/process.h"
#include "frontend/start/net/network_process.h"
#include "frontend/start/plan/network_hosts.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// --- the directory ------------------------------------------------------------------------------

struct Place {
  Fd directory;
  std::string suffix;  // of each socket's name

  [[nodiscard]] std::string socket_of(std::string_view network) const {
    return concat(network, suffix);
  }
};

Result<Fd> own_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return fail_errno(concat("cannot make ", path, " for networks"));
  auto directory = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  struct stat facts{};
  if (!directory) return fail({}, concat("cannot open ", path), directory.error().code);
  if (::fstat(directory->get(), &facts) != 0 || facts.st_uid != ::geteuid() ||
      (facts.st_mode & 077) != 0)
    return fail({},
                concat(path, " is not yours alone: run \"chmod 700 ", path, "\", or remove it"));
  return directory;
}

std::string path_in(const char* variable) {
  const char* const text = std::getenv(variable);
  return text != nullptr && *text == '/' ? text : "";
}

bool is_own_directory(const std::string& path) {
  struct stat facts{};
  return !path.empty() && ::stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode) &&
         facts.st_uid == ::geteuid();
}

std::string boot() {
  constexpr std::size_t kEnough = 8;
  const auto file = open_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY);
  const auto text = file ? read_all(*file, 64) : std::unexpected(file.error());
  return text ? text->substr(0, kEnough) : std::string{};
}

// In the caller's runtime directory, also for a job that was not told of it; else in the home. A
// home may be shared with other hosts, so sockets have the boot's name there.
Result<Place> find_place() {
  for (const auto& runtime : {path_in("XDG_RUNTIME_DIR"), concat("/run/user/", ::geteuid())})
    if (is_own_directory(runtime)) {
      auto directory = TRY(own_directory(concat(runtime, "/userns-networks")));
      return Place{.directory = std::move(directory), .suffix = {}};
    }
  const auto home = path_in("HOME");
  if (home.empty())
    return fail({}, "--net user=NAME needs XDG_RUNTIME_DIR or HOME, for the network's socket");
  auto directory = TRY(own_directory(concat(home, "/.userns-networks")));
  return Place{.directory = std::move(directory), .suffix = concat("@", boot())};
}

sockaddr_un address_of(const Place& place, std::string_view network) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  concat("/proc/self/fd/", place.directory.get(), "/", place.socket_of(network))
      .copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
  return address;
}

Fd make_socket() { return Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)); }

Result<Fd> connect_in(const Place& place, std::string_view network) {
  auto socket = make_socket();
  const auto address = address_of(place, network);
  if (!socket.valid() ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(concat("cannot reach the network ", network));
  return socket;
}

// --- its process --------------------------------------------------------------------------------

struct Route {
  std::uint32_t network = 0;  // both as the file has them: the first byte is the lowest
  std::uint32_t mask = 0;
};

Route route_of(std::string_view line) {
  constexpr std::size_t kNetwork = 1;
  constexpr std::size_t kMask = 7;
  std::array<std::string_view, kMask + 1> words{};
  for (auto& word : words) word = take_until(line, '\t');
  Route route;
  const auto read = [](std::string_view word, std::uint32_t& value) {
    (void)std::from_chars(word.data(), word.data() + word.size(), value, 16);
  };
  read(words[kNetwork], route.network);
  read(words[kMask], route.mask);
  return route;
}

// Of the host; a container has them, too, by its own way out.
std::vector<Route> host_routes() {
  constexpr std::size_t kLargest = 1UL << 20U;
  std::vector<Route> routes;
  const auto file = open_at(AT_FDCWD, "/proc/net/route", O_RDONLY);
  const auto text = file ? read_all(*file, kLargest).value_or("") : std::string{};
  std::string_view rest = text;
  (void)take_until(rest, '\n');
  while (!rest.empty())
    if (const auto route = route_of(take_until(rest, '\n')); route.mask != 0)
      routes.push_back(route);
  return routes;
}

// The same for the same name, unless the host has such addresses itself.
std::string choose_subnet(std::string_view network) {
  constexpr std::uint32_t kNumbers = 256;
  const auto hash = hash_of(network);
  const auto routes = host_routes();
  for (std::uint32_t turn = 0; turn < kNumbers; ++turn) {
    const auto third = (hash + turn) % kNumbers;
    const std::uint32_t candidate = 10U | 89U << 8U | third << 16U;
    const bool is_used = std::ranges::any_of(routes, [&](const Route& route) {
      return ((route.network ^ candidate) & route.mask & 0xffffffU) == 0;
    });
    if (!is_used) return concat("10.89.", third);
  }
  return concat("10.89.", hash % kNumbers);
}

// Nothing of its first caller's is left but its user.
void become_daemon() {
  ::setsid();
  (void)!::chdir("/");
  (void)::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);  // else its own /proc files would not be its own
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere, number);
  reset_signals();
  unblock_signals();
  (void)::signal(SIGPIPE, SIG_IGN);
}

// All fds from 3 on but these.
void close_all_but(std::vector<int> kept) {
  std::ranges::sort(kept);
  int first = STDERR_FILENO + 1;
  for (const int number : kept) {
    if (first < number)
      (void)::close_range(static_cast<unsigned>(first), static_cast<unsigned>(number - 1), 0);
    first = std::max(first, number + 1);
  }
  (void)::close_range(static_cast<unsigned>(first), UINT_MAX, 0);
}

// Nobody's child: it may outlive the process that needed it first. Returns our end of the first
// connection. `listening` not valid(): it is the only one.
Result<Fd> start_process(const Place& place, std::string_view network, const Fd& listening) {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail_errno("cannot make a pair of sockets");
  Fd ours(ends[0]);
  const Fd first(ends[1]);
  const auto subnet = choose_subnet(network);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("cannot start the network's process");
  if (child > 0) {
    (void)collect(child);
    return ours;
  }
  if (::fork() != 0) ::_exit(0);
  become_daemon();
  // An open of its own: a lock belongs to the open.
  const Fd own(::openat(place.directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  close_all_but({own.get(), listening.get(), first.get()});
  be_network({.network = network,
              .subnet = subnet,
              .directory = own,
              .socket = place.socket_of(network),
              .listening = listening,
              .first = first});
}

// With the lock of the directory. A socket that is there is of a process that was killed.
Result<Fd> start_network(const Place& place, std::string_view network) {
  (void)::unlinkat(place.directory.get(), place.socket_of(network).c_str(), 0);
  const auto address = address_of(place, network);
  const auto listening = make_socket();
  constexpr int kWaiting = 64;
  if (!listening.valid() ||
      ::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listening.get(), kWaiting) != 0)
    return fail_errno("cannot make the network's socket");
  return start_process(place, network, listening);
}

}  // namespace

Result<Fd> connect_or_start_network(std::string_view network) {
  const auto place = TRY(find_place());
  while (::flock(place.directory.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno("cannot lock the directory of networks");
  auto connection = connect_in(place, network);
  const bool is_gone =
      !connection && (connection.error().code == ENOENT || connection.error().code == ECONNREFUSED);
  return is_gone ? start_network(place, network) : std::move(connection);
}

Result<Fd> connect_network(std::string_view network) {
  const auto place = TRY(find_place());
  return connect_in(place, network);
}

Result<Fd> start_nameless_network() { return start_process(Place{}, "of a trial", Fd{}); }

Result<std::vector<std::string>> network_names() {
  std::vector<std::string> names;
  const auto place = TRY(find_place());
  const int again = ::openat(place.directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(again), ::closedir);
  if (!list) return fail_errno("cannot read the directory of networks");
  while (const dirent* const entry = ::readdir(list.get())) {  // NOLINT(concurrency-mt-unsafe)
    std::string_view name = entry->d_name;
    if (name.starts_with('.') || !name.ends_with(place.suffix)) continue;
    name.remove_suffix(place.suffix.size());
    if (!name.contains('@')) names.emplace_back(name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace userns::frontend
