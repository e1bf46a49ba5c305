#include "frontend/start/net/net_helpers.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "common/config.h"
#include "frontend/run/process.h"
#include "frontend/run/watched.h"
#include "frontend/spec/net.h"
#include "frontend/spec/tell.h"
#include "frontend/start/net/net_choice.h"
#include "frontend/start/net/user_network.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using PublishWishes = std::vector<PublishWish>;
// What is published, and whether services on the container's own 127.0.0.1 are, too.
struct Ports {
  PublishWishes wishes;
  bool loopback = false;
};

std::vector<std::string> words_of(const Plan& plan, const NicWish& nic, const Fd& netns) {
  std::vector<std::string> words{
      "add", "--netns", concat("fd:", netns.get()), "--bridge", nic.bridge, "--name", nic.name};
  if (!nic.mac.empty()) words.insert(words.end(), {"--mac", nic.mac});
  // The same host name is the same address, and so the same DHCP lease.
  if (plan.spec.hostname) words.insert(words.end(), {"--container", *plan.spec.hostname});
  return words;
}

constexpr std::size_t kLongestNicAnswer = 4096;

// What is there up to the end of a line; less if that ends first.
std::string read_line(const Fd& from) {
  std::string line;
  std::array<char, kLongestNicAnswer> part{};
  while (!line.ends_with('\n') && line.size() < kLongestNicAnswer) {
    const auto length = ::read(from.get(), part.data(), part.size());
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    line.append(part.data(), static_cast<std::size_t>(length));
  }
  return line;
}

// Of an answer of userns-net(8), as the words of --net that say the same; empty where it has no
// address.
std::string given_words(std::string_view answer) {
  const auto nic = nlohmann::json::parse(answer, nullptr, false);
  if (!nic.is_object() || !nic.contains("addresses") || nic["addresses"].empty()) return {};
  std::string words = concat("bridge=", nic.value("bridge", ""), ",name=", nic.value("name", ""));
  constexpr std::pair<const char*, const char*> kLists[] = {
      {"addresses", ",address="}, {"gateways", ",gateway="}, {"dns", ",dns="}};
  for (const auto& [list, key] : kLists)
    if (nic.contains(list) && nic[list].is_array())
      for (const auto& one : nic[list])
        if (one.is_string()) words += concat(key, one.get<std::string>());
  return words + "\n";
}

void add_forwards(std::vector<std::string>& words, const PublishWishes& ports, bool udp) {
  bool any = false;
  for (const auto& publish : ports) {
    if (publish.udp != udp) continue;
    const auto place = publish.address ? to_text(*publish.address) + "/" : std::string{};
    words.insert(words.end(),
                 {udp ? "-u" : "-t", concat(place, publish.host, ":", publish.container)});
    any = true;
  }
  if (!any) words.insert(words.end(), {udp ? "-u" : "-t", "none"});
}

constexpr std::string_view kScratch = "userns-run-";

// What killed processes have left: a directory of the caller's that nobody has locked.
void sweep_scratch() {
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::opendir("/tmp"), ::closedir);
  while (const dirent* const entry =
             list ? ::readdir(list.get()) : nullptr) {  // NOLINT(concurrency-mt-unsafe)
    const std::string_view name = entry->d_name;
    if (!name.starts_with(kScratch) || name.size() != kScratch.size() + 6) continue;
    const auto dir =
        open_at(::dirfd(list.get()), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    struct stat facts{};
    if (!dir || ::fstat(dir->get(), &facts) != 0 || facts.st_uid != ::geteuid() ||
        ::flock(dir->get(), LOCK_EX | LOCK_NB) != 0)
      continue;
    (void)::unlinkat(dir->get(), "it", 0);
    (void)::unlinkat(::dirfd(list.get()), entry->d_name, AT_REMOVEDIR);
  }
}

// A directory of the caller's own with room for one name, gone again with this object.
class Scratch {
 public:
  Scratch() {
    sweep_scratch();
    made_ = ::mkdtemp(directory_.data()) != nullptr;
    lock_ = Fd(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // One that another has swept in between is not there any more.
    if (made_) made_ = lock_.valid() && ::flock(lock_.get(), LOCK_EX) == 0 && is_there();
  }
  ~Scratch() {
    ::unlink(path().c_str());
    ::rmdir(directory_.c_str());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] bool made() const { return made_; }
  [[nodiscard]] std::string path() const { return directory_ + "/it"; }

 private:
  [[nodiscard]] bool is_there() const { return ::access(directory_.c_str(), F_OK) == 0; }

  std::string directory_ = concat("/tmp/", kScratch, "XXXXXX");
  Fd lock_;
  bool made_ = false;
};

// A named pipe in it.
Fd open_pipe(const Scratch& scratch) {
  if (!scratch.made() || ::mkfifo(scratch.path().c_str(), 0600) != 0) return {};
  return Fd(::open(scratch.path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

constexpr std::string_view kToLoopback = "--host-lo-to-ns-lo";

// What a program says of its own options; empty if it says nothing.
std::string help_of(const std::string& path) {
  constexpr std::size_t kLongest = 1UL << 16U;
  auto said = make_pipe();
  if (!said) return {};
  const pid_t child = ::fork();
  if (child == 0)
    become_program(
        {.words = {path, "--help"}, .output = said->write.get(), .errors = said->write.get()});
  said->write.reset();
  auto text = read_all(said->read, kLongest);
  if (child > 0) (void)collect(child);
  return text ? std::move(*text) : std::string{};
}

// A pasta from before 2024-10-30 hands whoever connects to a published port on the host's 127.0.0.1
// to the container's own 127.0.0.1, as if it came from there. Services there trust that. Later ones
// do so only if they are told.
Result<void> add_loopback(std::vector<std::string>& words, const std::string& path,
                          const Ports& ports) {
  if (ports.wishes.empty()) return {};
  const bool can_be_told = help_of(path).contains(kToLoopback);
  if (ports.loopback && can_be_told) words.emplace_back(kToLoopback);
  if (ports.loopback || can_be_told) return {};
  return fail({},
              "--publish: this pasta lets everybody on the host reach services that listen only on "
              "the container's own 127.0.0.1: install slirp4netns or a pasta of 2024-10-30 or "
              "later, or say --publish-loopback if that is meant");
}

// Writes its pid when it is ready.
Result<Fd> start_pasta(const std::string& path, const Ports& ports, pid_t target) {
  const Scratch scratch;
  const Fd ready = open_pipe(scratch);
  if (!ready.valid()) return fail_errno("cannot make a pipe in /tmp for pasta");
  // Nothing of the host's loopback is for the container, and the other way round.
  Command pasta{.path = path,
                .words = {"pasta", "--foreground", "--config-net", "--quiet", "--no-map-gw", "-T",
                          "none", "-U", "none", "--pid", scratch.path()}};
  TRY(add_loopback(pasta.words, path, ports));
  add_forwards(pasta.words, ports.wishes, false);
  add_forwards(pasta.words, ports.wishes, true);
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
  if (publish.address && publish.address->family != AF_INET)
    return fail(
        {}, concat("--publish ", to_text(publish),
                   ": slirp4netns publishes IPv4 addresses only; pasta does both (package passt)"));
  const auto address = publish.address ? to_text(*publish.address) : std::string("0.0.0.0");
  const auto answer = TRY(ask_slirp(
      socket_path, concat(R"({"execute":"add_hostfwd","arguments":{"proto":")", protocol,
                          R"(","host_addr":")", address, R"(","host_port":)", publish.host,
                          R"(,"guest_addr":"10.0.2.100","guest_port":)", publish.container, "}}")));
  if (answer.find("\"return\"") != std::string::npos) return {};
  return fail({}, concat("--publish ", to_text(publish),
                         ": slirp4netns could not open that port of the host; is it in use, or the "
                         "address none of "
                         "the host's? (",
                         std::string_view(answer), ")"));
}

// Writes "1" to its fd 3 when it is ready; then its socket takes the ports. They lead to the
// address of its interface, never to the container's loopback.
Result<Fd> start_slirp(const std::string& path, const Ports& ports, pid_t target) {
  auto ready = TRY(make_pipe());
  const Scratch scratch;
  if (!scratch.made()) return fail_errno("cannot make a directory in /tmp for slirp4netns");
  const Command slirp{.path = path,
                      .words = {"slirp4netns", "--configure", "--mtu=65520",
                                "--disable-host-loopback", "--enable-ipv6", "--api-socket",
                                scratch.path(), "--ready-fd=3", concat(target), "tap0"},
                      .third = ready.write.get()};
  auto life = run_watched("slirp4netns", slirp, ready.read, &ready.write);
  for (const auto& publish : ports.wishes)
    TRY(life ? forward(scratch.path(), publish) : Result<void>{});
  return life;
}

// The first port that an ordinary user may listen on: ip(7), ip_unprivileged_port_start.
constexpr const char* kFirstPort = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

Result<void> check_ports(const PublishWishes& ports) {
  constexpr std::size_t kLongest = 16;
  const auto file = open_at(AT_FDCWD, kFirstPort, O_RDONLY);
  auto text = file ? read_all(*file, kLongest) : std::unexpected(file.error());
  if (!text || ::geteuid() == 0) return {};
  while (text->ends_with('\n')) text->pop_back();
  const auto first = parse_decimal(*text).value_or(0);
  for (const auto& publish : ports)
    if (publish.host < first)
      return fail({}, concat("--publish ", to_text(publish),
                             ": only root opens ports of the host below ", first,
                             ": choose another one, or have the administrator say sysctl "
                             "net.ipv4.ip_unprivileged_port_start=",
                             publish.host));
  return {};
}

// The order is that of preference. That a program is there does not mean that it works: on Debian
// 12 the AppArmor profile of pasta lets it open no user namespace of a process outside that
// profile.
struct Way {
  std::string_view program, package;
  Result<Fd> (*start)(const std::string& path, const Ports& ports, pid_t target);
};
constexpr Way kWays[] = {{"pasta", "passt", start_pasta},
                         {"slirp4netns", "slirp4netns", start_slirp}};

Result<Fd> start_by(const Way& way, const Ports& ports, pid_t target) {
  const auto path = find_program(way.program);
  if (path.empty())
    return fail({}, concat(way.program, " is not installed (package ", way.package, ")"));
  return way.start(path, ports, target);
}

// Not valid() if none works; then `refusals` say why.
Fd start_way_out(const Plan& plan, pid_t target, std::string& refusals) {
  const Ports ports{.wishes = plan.spec.publish, .loopback = plan.spec.publish_loopback};
  for (const auto& way : kWays) {
    auto life = start_by(way, ports, target);
    if (life) return std::move(*life);
    refusals += concat(refusals.empty() ? "" : "; ", to_text(life.error()));
  }
  return {};
}

}  // namespace

Result<NicHelpers> begin_nics(const Plan& plan, pid_t target) {
  NicHelpers helpers;
  const auto* const bridges = std::get_if<NetBridges>(&plan.spec.net);
  if (bridges == nullptr) return helpers;
  const auto path = concat(std::string_view(kHelperDir), "/userns-net");
  // Not by its pid: once it has other ids, and that may be before the helper looks, its namespaces
  // are hidden from the caller.
  const auto netns = open_at(AT_FDCWD, concat("/proc/", target, "/ns/net").c_str(), O_RDONLY);
  if (!netns) return fail({}, "cannot look at the new network namespace", netns.error().code);
  const std::array handed{netns->get()};
  for (const auto& nic : bridges->nics) {
    auto pipe = TRY(make_pipe());
    auto helper =
        TRY(Helper::start(path.c_str(), words_of(plan, nic, *netns), &pipe.write, handed));
    helpers.push_back({.helper = std::move(helper), .answer = std::move(pipe.read)});
  }
  return helpers;
}

// The line is the last thing that the helper does: the NIC is there, and its exit is not waited
// for.
Result<std::string> finish_nics(NicHelpers& helpers) {
  std::string given;
  for (auto& [helper, answer] : helpers) {
    const auto line = read_line(answer);
    if (!line.ends_with('\n')) TRY(helper.finish());
    given += given_words(line);
  }
  return given;
}

std::vector<UserNetTrial> try_user_net(pid_t target) {
  std::vector<UserNetTrial> trials;
  for (const auto& way : kWays) {
    if (find_program(way.program).empty()) continue;
    const auto life = start_by(way, {}, target);
    trials.push_back({.program = std::string(way.program),
                      .refusal = life ? std::string{} : to_text(life.error())});
  }
  return trials;
}

UserNet::~UserNet() { end_watched(std::move(life_)); }

Result<UserNet> UserNet::start(const Plan& plan, pid_t target) {
  const auto* const wish = std::get_if<NetUser>(&plan.spec.net);
  if (wish == nullptr) return UserNet{};
  TRY(check_ports(plan.spec.publish));
  UserNet net;
  std::string refusals;
  net.life_ = start_way_out(plan, target, refusals);
  const bool is_alone = wish->network.empty();
  const bool must_have = (plan.net_why.empty() && is_alone) || !plan.spec.publish.empty();
  if (!net.life_.valid() && must_have)
    return fail({}, concat("cannot set up user networking: ", refusals));
  if (!net.life_.valid())
    tell("userns-run", {.rule = {},
                        .code = 0,
                        .text = concat(is_alone ? "network: none (" : "network: no way out (",
                                       refusals, "; see user-network in userns-run doctor)")});
  if (is_alone) return net;
  auto seat = join_network(wish->network, plan.spec.hostname.value_or(""), target);
  if (!seat)
    return fail({}, concat("cannot join the network ", wish->network, ": ", seat.error().text),
                seat.error().code);
  net.network_ = std::move(seat->connection);
  net.given_ = std::move(seat->given);
  return net;
}

}  // namespace userns::frontend
