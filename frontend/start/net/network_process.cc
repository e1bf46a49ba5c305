#include "frontend/start/net/network_process.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "common/report.h"
#include "frontend/start/net/netlink_request.h"
#include "frontend/start/net/network_wire.h"
#include "frontend/start/plan/network_hosts.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr const char* kBridge = "br0";
constexpr unsigned kFirstHost = 2;
constexpr unsigned kHosts24 = 253;  // 2 to 254
constexpr std::size_t kLongestName = 64;
constexpr int kMoment = 20;  // ms; a process that joins holds the lock no longer

struct Member {
  Fd connection;
  std::string name;
  unsigned host = 0;  // the last byte of its address; 0: has not asked for one yet
  Fd hosts;
};

Result<void> write_to(const char* path, std::string_view text) {
  const auto file = TRY(open_at(AT_FDCWD, path, O_WRONLY));
  return write_all(file, text);
}

// A user namespace in which the caller is root, and a network of its own in it. Only a process with
// the caller's user id, in the namespace above, has the caller's rights over it and over a
// container's at once (cap_capable() in security/commoncap.c).
Result<void> make_namespaces() {
  const auto uid = ::getuid();
  const auto gid = ::getgid();
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
    return fail_errno("cannot make namespaces for the network");
  if (auto done = write_to("/proc/self/setgroups", "deny"); !done) return done;
  if (auto done = write_to("/proc/self/uid_map", concat("0 ", uid, " 1")); !done) return done;
  return write_to("/proc/self/gid_map", concat("0 ", gid, " 1"));
}

// No address of its own: it joins frames, and there is nothing to reach in its namespace. Nobody
// asks who listens to multicast, so it goes to all.
Result<void> make_bridge() {
  (void)write_to("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
  const auto socket = open_rtnetlink();
  if (!socket.valid()) return fail_errno("cannot make a bridge for the network");
  ifinfomsg header{};
  header.ifi_flags = header.ifi_change = IFF_UP;
  NetlinkRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, header);
  request.put(IFLA_IFNAME, {kBridge, sizeof "br0"});
  const auto link = request.open(IFLA_LINKINFO);
  request.put(IFLA_INFO_KIND, {"bridge", sizeof "bridge"});
  const auto data = request.open(IFLA_INFO_DATA);
  request.put_number(IFLA_BR_MCAST_SNOOPING, std::uint8_t{0});
  request.close(data);
  request.close(link);
  const int error = request.send(socket);
  return error == 0 ? Result<void>{} : fail({}, "cannot make a bridge for the network", error);
}

// A member that is gone has no wire any more, whatever it left behind.
void cut(unsigned host) {
  const auto socket = open_rtnetlink();
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(::if_nametoindex(port_name(host).c_str()));
  if (header.ifi_index != 0) (void)NetlinkRequest(RTM_DELLINK, 0, header).send(socket);
}

class Network {
 public:
  explicit Network(const NetworkBirth& birth) : birth_(birth) {
    members_.push_back({.connection = Fd(::fcntl(birth.first.get(), F_DUPFD_CLOEXEC, 3)),
                        .name = {},
                        .host = 0,
                        .hosts = {}});
  }

  void serve(const Result<void>& made) {
    while (true) {
      std::vector<pollfd> polled{{.fd = birth_.listening.get(), .events = POLLIN, .revents = 0}};
      for (const auto& member : members_)
        polled.push_back({.fd = member.connection.get(), .events = POLLIN, .revents = 0});
      const int patience = members_.empty() ? kMoment : -1;
      if (::poll(polled.data(), polled.size(), patience) < 0) continue;
      hear_all(polled, made);
      if (polled[0].revents != 0) welcome();
      if (std::exchange(changed_, false)) tell_all();
      if (members_.empty() && is_over()) return;
    }
  }

 private:
  // `polled`: the listening socket, then the members in their order.
  void hear_all(const std::vector<pollfd>& polled, const Result<void>& made) {
    auto member = members_.begin();
    for (std::size_t i = 1; i < polled.size(); ++i) {
      const auto now = member++;
      if (polled[i].revents == 0 || hear(*now, made)) continue;
      if (now->host != 0) cut(now->host);
      members_.erase(now);
    }
  }

  void welcome() {
    Fd connection(::accept4(birth_.listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ucred peer{};
    socklen_t size = sizeof peer;
    // The directory is the caller's alone; this is for one whose mode was changed.
    if (connection.valid() &&
        ::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
        peer.uid == ::getuid())
      members_.push_back({.connection = std::move(connection), .name = {}, .host = 0, .hosts = {}});
  }

  // False: it is gone, or speaks another language.
  bool hear(Member& member, const Result<void>& made) {
    auto word = receive_word(member.connection);
    if (!word) {
      changed_ = changed_ || member.host != 0;
      return false;
    }
    if (word->text == kHosts && word->fd.valid()) {
      member.hosts = std::move(word->fd);
      changed_ = true;
      return true;
    }
    if (word->text == kList)
      return send_word(member.connection, concat(birth_.subnet, ".0/24\n", lines())).has_value();
    if (!word->text.starts_with(kJoin) || member.host != 0) return false;
    const auto name = word->text.substr(kJoin.size());
    if (is_plain_word(name, kLongestName)) member.name = neighbour_name(name);
    const auto joined = made ? join(member) : made;
    return joined || send_word(member.connection, to_text(joined.error())).has_value();
  }

  Result<void> join(Member& member) {
    const auto host = free_host(member.name);
    if (!host)
      return fail({}, concat("the network ", birth_.network, " is full: it has room for ", kHosts24,
                             " containers"));
    const auto socket = open_rtnetlink();
    if (!socket.valid()) return fail_errno("cannot open a netlink socket");
    member.host = *host;
    changed_ = true;
    return send_word(member.connection,
                     concat(kJoined, birth_.subnet, ".", *host, "/24 ", ::if_nametoindex(kBridge),
                            "\n", lines()),
                     &socket);
  }

  // The same for the same name, while it is free.
  [[nodiscard]] std::optional<unsigned> free_host(std::string_view name) const {
    const auto hash = hash_of(name);
    for (unsigned turn = 0; turn < kHosts24; ++turn) {
      const auto host = kFirstHost + (hash + turn) % kHosts24;
      if (std::ranges::find(members_, host, &Member::host) == members_.end()) return host;
    }
    return std::nullopt;
  }

  [[nodiscard]] std::string lines() const {
    std::string text;
    for (const auto& member : members_)
      if (member.host != 0 && !member.name.empty())
        text += concat(birth_.subnet, ".", member.host, "\t", member.name, "\n");
    return text;
  }

  void tell_all() {
    const auto text = lines();
    for (const auto& member : members_)
      if (member.hosts.valid()) keep(member.hosts, text);
  }

  // A file in memory that a start of ours made; what the container wrote into it stays.
  static void keep(const Fd& hosts, std::string_view lines) {
    std::string present(kLongestWord, '\0');
    const auto got = ::pread(hosts.get(), present.data(), present.size(), 0);
    if (got < 0 || static_cast<std::size_t>(got) == present.size()) return;
    present.resize(static_cast<std::size_t>(got));
    const auto text = hosts_with_network(present, lines);
    if (text != present) (void)!::pwrite(hosts.get(), text.data(), text.size(), 0);
  }

  // A process that joins holds the lock meanwhile: then there may be a member yet.
  bool is_over() {
    if (!birth_.listening.valid()) return true;
    if (::flock(birth_.directory.get(), LOCK_EX | LOCK_NB) != 0) return false;
    pollfd waiting{.fd = birth_.listening.get(), .events = POLLIN, .revents = 0};
    const bool is_last = ::poll(&waiting, 1, 0) == 0;
    if (is_last) (void)::unlinkat(birth_.directory.get(), birth_.socket.c_str(), 0);
    (void)::flock(birth_.directory.get(), LOCK_UN);
    return is_last;
  }

  const NetworkBirth& birth_;
  std::list<Member> members_;
  bool changed_ = false;
};

}  // namespace

void be_network(const NetworkBirth& birth) {
  (void)::prctl(PR_SET_NAME, "userns-network", 0, 0, 0);
  auto made = make_namespaces();
  if (made) made = make_bridge();
  Network(birth).serve(made);
  ::_exit(0);
}

}  // namespace userns::frontend
