// The least that a start with a NIC can be: nic_floor BRIDGE COMMAND... All namespaces, maps
// written by this process itself, a veth on the bridge, up on both sides with an address and a
// route, a /proc, the command. Setuid root, without any check: for measuring only.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

namespace {

// One request to the kernel, as its bytes.
struct Request {
  template <class Header>
  Request(std::uint16_t type, int flags, const Header& header) {
    nlmsghdr head{};
    head.nlmsg_type = type;
    head.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    add(&head, sizeof head), add(&header, sizeof header);
  }
  void add(const void* data, std::size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    bytes.resize((bytes.size() + 3) / 4 * 4);
  }
  std::size_t open(std::uint16_t type) {
    const rtattr head{.rta_len = 0, .rta_type = type};
    const auto at = bytes.size();
    add(&head, sizeof head);
    return at;
  }
  void close(std::size_t at, std::size_t end) {
    const auto length = static_cast<std::uint16_t>(end - at);
    std::memcpy(bytes.data() + at, &length, sizeof length);
  }
  void put(std::uint16_t type, const void* data, std::size_t size) {
    const auto at = open(type);
    bytes.append(static_cast<const char*>(data), size);
    close(at, bytes.size());
    bytes.resize((bytes.size() + 3) / 4 * 4);
  }
  template <class Number>
  void put(std::uint16_t type, Number number) {
    put(type, &number, sizeof number);
  }
  bool send(int socket) {
    const auto length = static_cast<std::uint32_t>(bytes.size());
    std::memcpy(bytes.data(), &length, sizeof length);
    char answer[4096];
    if (::send(socket, bytes.data(), bytes.size(), 0) < 0 ||
        ::recv(socket, answer, sizeof answer, 0) < static_cast<ssize_t>(sizeof(nlmsgerr)))
      return false;
    const auto* const head = reinterpret_cast<const nlmsghdr*>(answer);
    return head->nlmsg_type == NLMSG_ERROR &&
           reinterpret_cast<const nlmsgerr*>(NLMSG_DATA(head))->error == 0;
  }
  std::string bytes;
};

int open_netlink() { return ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE); }

bool up(int socket, unsigned index) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  header.ifi_flags = header.ifi_change = IFF_UP;
  return Request(RTM_NEWLINK, 0, header).send(socket);
}

bool make_pair(const char* bridge, pid_t target) {
  const int socket = open_netlink();
  const auto name = "f" + std::to_string(target);
  Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  request.put(IFLA_IFNAME, name.c_str(), name.size() + 1);
  request.put(IFLA_MASTER, ::if_nametoindex(bridge));
  const auto info = request.open(IFLA_LINKINFO);
  request.put(IFLA_INFO_KIND, "veth", 5);
  const auto data = request.open(IFLA_INFO_DATA), peer = request.open(VETH_INFO_PEER);
  const ifinfomsg header{};
  request.add(&header, sizeof header);
  request.put(IFLA_IFNAME, "eth0", 5);
  request.put(IFLA_NET_NS_PID, static_cast<std::uint32_t>(target));
  for (const auto at : {peer, data, info}) request.close(at, request.bytes.size());
  return request.send(socket) && up(socket, ::if_nametoindex(name.c_str()));
}

bool configure() {
  const int socket = open_netlink();
  const auto index = ::if_nametoindex("eth0");
  const auto address = ::inet_addr("10.9.0.99"), gateway = ::inet_addr("10.9.0.1");
  ifaddrmsg header{};
  header.ifa_family = AF_INET, header.ifa_prefixlen = 24, header.ifa_index = index;
  Request add(RTM_NEWADDR, NLM_F_CREATE, header);
  add.put(IFA_LOCAL, address), add.put(IFA_ADDRESS, address);
  rtmsg to_all{};
  to_all.rtm_family = AF_INET, to_all.rtm_table = RT_TABLE_MAIN,
  to_all.rtm_protocol = RTPROT_STATIC, to_all.rtm_type = RTN_UNICAST;
  Request route(RTM_NEWROUTE, NLM_F_CREATE, to_all);
  route.put(RTA_GATEWAY, gateway), route.put(RTA_OIF, index);
  return up(socket, index) && add.send(socket) && route.send(socket);
}

[[noreturn]] void inside(int go, char** command) {
  char byte = 0;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::read(go, &byte, 1) != 1 || ::setgroups(0, nullptr) != 0 || ::setresgid(0, 0, 0) != 0 ||
      ::setresuid(0, 0, 0) != 0 || !configure() ||
      ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    ::_exit(3);
  ::execvp(command[0], command);
  ::_exit(127);
}

bool write_map(pid_t pid, const char* name) {
  constexpr std::string_view kMap = "0 100000 65536\n";
  const auto path = "/proc/" + std::to_string(pid) + "/" + name;
  const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  return ::write(file, kMap.data(), kMap.size()) == static_cast<ssize_t>(kMap.size()) &&
         ::close(file) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  int go[2];
  if (argc < 3 || ::pipe2(go, O_CLOEXEC) != 0) return 2;
  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
               CLONE_NEWUTS | CLONE_NEWCGROUP;
  args.exit_signal = SIGCHLD;
  const auto first = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  if (first == 0) inside(go[0], argv + 2);
  if (!write_map(first, "uid_map") || !write_map(first, "gid_map") || !make_pair(argv[1], first) ||
      ::write(go[1], "x", 1) != 1)
    return 4;
  int status = 0;
  return ::waitpid(first, &status, 0) == first && status == 0 ? 0 : 5;
}
