#include "frontend/start/net_helpers.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>

#include "common/config.h"
#include "frontend/start/net_choice.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::vector<std::string> words_of(const Plan& plan, const NicWish& nic, pid_t target) {
  std::vector<std::string> words{
      "add", "--netns", concat("pid:", target), "--bridge", nic.bridge, "--name", nic.name};
  if (!nic.mac.empty()) words.insert(words.end(), {"--mac", nic.mac});
  // The same host name is the same address, and so the same DHCP lease.
  if (plan.spec.hostname) words.insert(words.end(), {"--container", *plan.spec.hostname});
  return words;
}

// What a program is run with: its words, and the fd that it gets as number 3 (none: -1).
struct Command {
  const std::string& path;
  std::vector<std::string> words;
  int third = -1;
};

[[noreturn]] void become(const Command& command, int errors) {
  std::vector<char*> argv;
  for (const auto& word : command.words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // Nobody reads what it says once it is ready. pasta sees to that itself, and refuses to start
  // where it is done for it.
  ::signal(SIGPIPE, command.third >= 0 ? SIG_IGN : SIG_DFL);
  const int nowhere = ::open("/dev/null", O_RDWR);
  ::dup2(nowhere, 0);
  ::dup2(nowhere, 1);
  ::dup2(errors, 2);
  if (command.third >= 0) ::dup2(command.third, 3);
  ::close_range(command.third >= 0 ? 4 : 3, UINT_MAX, 0);
  ::execv(command.path.c_str(), argv.data());
  ::_exit(127);
}

// Runs the command until it ends or the other end of `life` is closed. Holds nothing else of ours
// open.
[[noreturn]] void watch(const Command& command, const Fd& life, const Fd& errors) {
  ::setsid();
  const pid_t child = ::fork();
  if (child == 0) become(command, errors.get());
  const int kept_life = ::dup2(life.get(), 0);
  const int process = ::dup2(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)), 1);
  ::close_range(2, UINT_MAX, 0);
  pollfd watched[] = {{.fd = kept_life, .events = 0, .revents = 0},
                      {.fd = process, .events = POLLIN, .revents = 0}};
  while (child > 0 && ::poll(watched, 2, -1) < 0 && errno == EINTR) continue;
  if (child > 0) ::kill(child, SIGKILL);  // not reaped, so the number is still its own
  ::_exit(0);
}

// Waits for a byte on `ready`, or for the end of all that could write to `errors`.
Result<void> await(std::string_view name, const Fd& ready, const Fd& errors) {
  std::string said;
  while (true) {
    pollfd waiting[] = {{.fd = ready.get(), .events = POLLIN, .revents = 0},
                        {.fd = errors.get(), .events = POLLIN, .revents = 0}};
    if (::poll(waiting, 2, -1) < 0 && errno != EINTR)
      return fail_errno(concat("cannot wait for ", name));
    if ((waiting[0].revents & POLLIN) != 0) return {};
    if (waiting[1].revents == 0) continue;
    char piece[512];
    const auto got = ::read(errors.get(), piece, sizeof piece);
    if (got <= 0) break;
    said.append(piece, static_cast<std::size_t>(got));
  }
  for (auto& c : said) c = c == '\n' ? ' ' : c;
  return fail({}, concat(name, " ended before it was ready: ",
                         said.empty() ? "it said nothing" : std::string_view(said)));
}

// Starts the command below a watcher of its own, which is nobody's child, and waits until it is
// ready. What is returned keeps it running. Killed at any time, we take it with us: the watcher is
// there first.
Result<Fd> run_watched(std::string_view name, const Command& command, const Fd& ready, Fd* theirs) {
  auto life = make_pipe();
  auto errors = make_pipe();
  if (!life) return std::unexpected(life.error());
  if (!errors) return std::unexpected(errors.error());
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(concat("cannot start ", name));
  if (child == 0) {
    if (::fork() != 0) ::_exit(0);
    watch(command, life->read, errors->write);
  }
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) continue;
  errors->write.reset();
  if (theirs != nullptr) theirs->reset();
  if (auto begun = await(name, ready, errors->read); !begun) return std::unexpected(begun.error());
  return std::move(life->write);
}

void add_forwards(std::vector<std::string>& words, const Plan& plan, bool udp) {
  bool any = false;
  for (const auto& publish : plan.spec.publish) {
    if (publish.udp != udp) continue;
    words.insert(words.end(), {udp ? "-u" : "-t", concat(publish.host, ":", publish.container)});
    any = true;
  }
  if (!any) words.insert(words.end(), {udp ? "-u" : "-t", "none"});
}

// A directory of the caller's own with room for one name, gone again with this object.
class Scratch {
 public:
  Scratch() { made_ = ::mkdtemp(directory_.data()) != nullptr; }
  ~Scratch() {
    ::unlink(path().c_str());
    ::rmdir(directory_.c_str());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] bool made() const { return made_; }
  [[nodiscard]] std::string path() const { return directory_ + "/it"; }

 private:
  std::string directory_ = "/tmp/userns-run-XXXXXX";
  bool made_ = false;
};

// A named pipe in it.
Fd open_pipe(const Scratch& scratch) {
  if (!scratch.made() || ::mkfifo(scratch.path().c_str(), 0600) != 0) return {};
  return Fd(::open(scratch.path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

// Writes its pid when it is ready.
Result<Fd> start_pasta(const std::string& path, const Plan& plan, pid_t target) {
  const Scratch scratch;
  const Fd ready = open_pipe(scratch);
  if (!ready.valid()) return fail_errno("cannot make a pipe in /tmp for pasta");
  // Nothing of the host's loopback is for the container, and the other way round.
  Command pasta{.path = path,
                .words = {"pasta", "--foreground", "--config-net", "--quiet", "--no-map-gw", "-T",
                          "none", "-U", "none", "--pid", scratch.path()}};
  add_forwards(pasta.words, plan, false);
  add_forwards(pasta.words, plan, true);
  pasta.words.push_back(concat(target));
  return run_watched("pasta", pasta, ready, nullptr);
}

// One request and one answer a connection, as slirp4netns(1), "API SOCKET", has it.
Result<std::string> ask_slirp(const std::string& socket_path, std::string_view request) {
  constexpr std::size_t kLongestAnswer = 4096;
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  const Fd end(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!end.valid() ||
      ::connect(end.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("cannot reach slirp4netns for --publish");
  if (::send(end.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size()))
    return fail_errno("cannot ask slirp4netns");
  ::shutdown(end.get(), SHUT_WR);
  return read_all(end, kLongestAnswer);
}

Result<void> forward(const std::string& socket_path, const PublishWish& publish) {
  const std::string_view protocol = publish.udp ? "udp" : "tcp";
  const auto answer = ask_slirp(
      socket_path, concat(R"({"execute":"add_hostfwd","arguments":{"proto":")", protocol,
                          R"(","host_addr":"0.0.0.0","host_port":)", publish.host,
                          R"(,"guest_addr":"10.0.2.100","guest_port":)", publish.container, "}}"));
  if (!answer) return std::unexpected(answer.error());
  if (answer->find("\"return\"") != std::string::npos) return {};
  return fail(
      {},
      concat("--publish ", publish.host, ":", publish.container, "/", protocol,
             ": slirp4netns could not open that port of the host; is it in use, or below 1024? (",
             std::string_view(*answer), ")"));
}

// Writes "1" to its fd 3 when it is ready; then its socket takes the ports.
Result<Fd> start_slirp(const std::string& path, const Plan& plan, pid_t target) {
  auto ready = make_pipe();
  if (!ready) return std::unexpected(ready.error());
  const Scratch scratch;
  if (!scratch.made()) return fail_errno("cannot make a directory in /tmp for slirp4netns");
  const Command slirp{.path = path,
                      .words = {"slirp4netns", "--configure", "--mtu=65520",
                                "--disable-host-loopback", "--enable-ipv6", "--api-socket",
                                scratch.path(), "--ready-fd=3", concat(target), "tap0"},
                      .third = ready->write.get()};
  auto life = run_watched("slirp4netns", slirp, ready->read, &ready->write);
  for (const auto& publish : plan.spec.publish)
    if (auto open = life ? forward(scratch.path(), publish) : Result<void>{}; !open)
      return std::unexpected(open.error());
  return life;
}

}  // namespace

Result<std::vector<Helper>> begin_nics(const Plan& plan, pid_t target) {
  std::vector<Helper> helpers;
  const auto* const bridges = std::get_if<NetBridges>(&plan.spec.net);
  if (bridges == nullptr) return helpers;
  const auto nowhere = open_at(AT_FDCWD, "/dev/null", O_WRONLY);
  if (!nowhere) return std::unexpected(nowhere.error());
  const auto path = concat(std::string_view(kHelperDir), "/userns-net");
  for (const auto& nic : bridges->nics) {
    auto helper = Helper::start(path.c_str(), words_of(plan, nic, target), &*nowhere);
    if (!helper) return std::unexpected(helper.error());
    helpers.push_back(std::move(*helper));
  }
  return helpers;
}

Result<UserNet> UserNet::start(const Plan& plan, pid_t target) {
  if (!std::holds_alternative<NetUser>(plan.spec.net)) return UserNet{};
  const auto pasta = find_program("pasta"), slirp = find_program("slirp4netns");
  if (pasta.empty() && slirp.empty())
    return fail({}, "--net user needs pasta (package passt) or slirp4netns: install one");
  auto life = pasta.empty() ? start_slirp(slirp, plan, target) : start_pasta(pasta, plan, target);
  if (!life) return std::unexpected(life.error());
  return UserNet(std::move(*life));
}

}  // namespace userns::frontend
