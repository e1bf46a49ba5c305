#include "frontend/start/net/user_network.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <variant>

#include "common/report.h"
#include "frontend/run/watched.h"
#include "frontend/spec/net.h"
#include "frontend/start/net/netlink_request.h"
#include "frontend/start/net/network_place.h"
#include "frontend/start/net/network_wire.h"
#include "frontend/start/plan/network_hosts.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Names the fd of a connection that was made before an exec.
constexpr const char* kHeld = "USERNS_RUN_NETWORK";

// Of hold_network(), in an earlier life of this process.
Fd held_connection() {
  constexpr std::uint64_t kMost = 0xffff;
  const char* const text = std::getenv(kHeld);
  const auto number = parse_decimal(text == nullptr ? "" : text);
  (void)::unsetenv(kHeld);
  struct stat facts{};
  if (!number || *number <= STDERR_FILENO || *number > kMost ||
      ::fstat(static_cast<int>(*number), &facts) != 0 || !S_ISSOCK(facts.st_mode))
    return {};
  Fd held(static_cast<int>(*number));
  (void)::fcntl(held.get(), F_SETFD, FD_CLOEXEC);
  return held;
}

struct Answer {
  std::string word;  // of --net, for the NIC inside
  IpAddress own;
  std::uint32_t bridge = 0;  // its index, in the network's namespace
  Fd netlink;                // there, too
  std::string hosts;         // lines
};

// What a container sets up inside, as words of --net say it.
std::string nic_word(std::string_view address) {
  return concat("bridge=user,name=", kNetworkNic, ",address=", address);
}

Result<Answer> ask_for_place(const Fd& connection, std::string_view name) {
  TRY(send_word(connection, concat(kJoin, name)));
  auto word = receive_word(connection);
  if (!word) return fail({}, "its process was killed: start the container again");
  if (!word->text.starts_with(kJoined) || !word->fd.valid()) return fail({}, std::move(word->text));
  std::string_view rest = std::string_view(word->text).substr(kJoined.size());
  auto line = take_until(rest, '\n');
  auto word_of_net = nic_word(take_until(line, ' '));
  const auto net = parse_net(word_of_net);
  const auto bridge = parse_decimal(line);
  if (!net || !bridge)
    return fail({}, "its process is of another version: stop all its containers");
  return Answer{.word = std::move(word_of_net),
                .own = std::get<NetBridges>(*net).nics.front().addresses.front().address,
                .bridge = static_cast<std::uint32_t>(*bridge),
                .netlink = std::move(word->fd),
                .hosts = std::string(rest)};
}

// One address has one MAC address, or neighbours would look for a restarted container at the old
// one.
std::string mac_of(const IpAddress& address) {
  std::string mac{"\x02\x55"};
  for (std::size_t i = 0; i < 4; ++i) mac += static_cast<char>(address.bytes.at(i));
  return mac;
}

// `text` with its end, as the kernel takes names.
std::string name_attribute(std::string_view text) { return concat(text, '\0'); }

Result<void> plug_in(const Answer& place, pid_t target) {
  const auto netns = TRY(open_at(AT_FDCWD, concat("/proc/", target, "/ns/net").c_str(), O_RDONLY));
  ifinfomsg header{};
  header.ifi_flags = header.ifi_change = IFF_UP;
  NetlinkRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, header);
  constexpr std::size_t kLastByte = 3;
  request.put(IFLA_IFNAME, name_attribute(port_name(place.own.bytes.at(kLastByte))));
  request.put_number(IFLA_MASTER, place.bridge);
  const auto link = request.open(IFLA_LINKINFO);
  request.put(IFLA_INFO_KIND, name_attribute("veth"));
  const auto data = request.open(IFLA_INFO_DATA);
  const auto peer = request.open(VETH_INFO_PEER);
  request.put_header(ifinfomsg{});
  request.put(IFLA_IFNAME, name_attribute(kNetworkNic));
  request.put(IFLA_ADDRESS, mac_of(place.own));
  request.put_number(IFLA_NET_NS_FD, static_cast<std::uint32_t>(netns.get()));
  for (const auto opened : {peer, data, link}) request.close(opened);
  const int error = request.send(place.netlink);
  if (error == 0) return {};
  return fail({}, concat("cannot connect it by ", kNetworkNic), error);
}

// The lines that a message has room for; the others come as soon as /etc/hosts is kept.
std::string first_lines(std::string_view lines) {
  constexpr std::size_t kRoom = 3000;
  if (lines.size() <= kRoom) return std::string(lines);
  return std::string(lines.substr(0, lines.rfind('\n', kRoom) + 1));
}

Result<NetworkSeat> take_place(Fd connection, std::string_view name, pid_t target) {
  const auto place = TRY(ask_for_place(connection, name));
  TRY(plug_in(place, target));
  return NetworkSeat{.connection = std::move(connection),
                     .given = concat(place.word, "\n", first_lines(place.hosts))};
}

NetworkFacts facts_of(const std::string& network, const Fd& connection) {
  NetworkFacts facts{.network = network, .addresses = {}, .members = {}};
  auto word = send_word(connection, kList) ? receive_word(connection) : std::nullopt;
  if (!word) return facts;
  std::string_view rest = word->text;
  facts.addresses = take_until(rest, '\n');
  while (!rest.empty()) {
    auto line = take_until(rest, '\n');
    auto address = std::string(take_until(line, '\t'));
    facts.members.push_back({.name = std::string(line), .address = std::move(address)});
  }
  return facts;
}

}  // namespace

Result<void> hold_network(std::string_view network) {
  constexpr int kBehindStdio = 10;
  auto connection = TRY(connect_or_start_network(network));
  const int number =
      ::fcntl(connection.get(), F_DUPFD, kBehindStdio);  // NOLINT(*-cloexec): over an exec
  if (number < 0 || ::setenv(kHeld, concat(number).c_str(), 1) != 0)
    return fail_errno("cannot keep the connection to a network");
  return {};
}

Result<NetworkSeat> join_network(std::string_view network, std::string_view name, pid_t target) {
  auto held = held_connection();
  auto connection =
      TRY(held.valid() ? Result<Fd>(std::move(held)) : connect_or_start_network(network));
  return take_place(std::move(connection), name, target);
}

void keep_hosts(const Fd& connection, const Fd& hosts) {
  (void)send_word(connection, kHosts, &hosts);
}

Result<std::vector<NetworkFacts>> networks() {
  std::vector<NetworkFacts> all;
  const auto names = TRY(network_names());
  for (const auto& name : names)
    if (const auto connection = connect_network(name))
      if (auto facts = facts_of(name, *connection); !facts.addresses.empty())
        all.push_back(std::move(facts));
  return all;
}

std::string try_network(pid_t target) {
  auto connection = start_nameless_network();
  if (!connection) return to_text(connection.error());
  auto seat = take_place(std::move(*connection), {}, target);
  if (!seat) return to_text(seat.error());
  end_watched(std::move(seat->connection));  // its process holds the other end until its exit
  return {};
}

}  // namespace userns::frontend
