// Route netlink, and netfilter's: one request and its answers at a time. libmnl formats; nothing
// here needs or takes privilege.
//
// Source: rtnetlink(7), libmnl, linux/if_link.h. Replies come from the kernel alone, and are still
// read as if they could be cut short anywhere.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/fd.h"
#include "policy/error.h"
#include "policy/ip_net.h"

namespace userns {

// The attributes of a message or a nest, by type; those above kMostAttrs are left out. Views into
// the message.
class Attrs {
 public:
  static constexpr std::size_t kMostAttrs = 64;
  Attrs(const void* first, std::size_t length);
  // What is inside attribute `type`; empty where there is none.
  [[nodiscard]] Attrs nested(std::size_t type) const;
  // 0 where there is none, or it is shorter.
  template <std::integral Number>
  [[nodiscard]] Number number(std::size_t type) const {
    Number value{};
    if (const auto found = bytes(type); found.size() >= sizeof value)
      std::memcpy(&value, found.data(), sizeof value);
    return value;
  }
  [[nodiscard]] std::string_view text(std::size_t type) const;  // up to the first NUL
  [[nodiscard]] std::string_view bytes(std::size_t type) const;

 private:
  std::array<const nlattr*, kMostAttrs> found_{};
};

// What stands in memory, as attributes and headers are put.
std::string_view bytes_of(const auto& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// A request under construction: header, family header, attributes. What is put must fit into kRoom:
// callers put a few fixed-size or bounded values.
class NetlinkRequest {
 public:
  static constexpr std::size_t kRoom = 2048;
  template <class Header>
  NetlinkRequest(std::uint16_t type, int flags, const Header& header)
      : NetlinkRequest(type, flags) {
    std::memcpy(mnl_nlmsg_put_extra_header(head(), sizeof header), &header, sizeof header);
  }
  NetlinkRequest& put(std::uint16_t type, std::string_view bytes);
  NetlinkRequest& put_name(std::uint16_t type, std::string_view text);  // with its NUL
  template <std::integral Number>
  NetlinkRequest& put_number(std::uint16_t type, Number value) {
    return put(type, bytes_of(value));
  }
  // Attributes that `fill` puts (or a family header that it adds by raw()) are inside `type`.
  NetlinkRequest& nest(std::uint16_t type, const std::function<void(NetlinkRequest&)>& fill);
  // Bytes without an attribute around them: the header inside VETH_INFO_PEER.
  NetlinkRequest& raw(std::string_view bytes);

  [[nodiscard]] nlmsghdr* head() { return reinterpret_cast<nlmsghdr*>(buffer_.data()); }

 private:
  NetlinkRequest(std::uint16_t type, int flags);
  alignas(nlmsghdr) std::array<char, kRoom> buffer_{};
};

class Netlink {
 public:
  // The kernel judges a request by whoever opened the socket *and* by whoever sends.
  static Result<Netlink> open(int protocol = NETLINK_ROUTE);

  using Each = std::function<void(const nlmsghdr&)>;
  // Sends, and reads answers up to the acknowledgement. The error is the kernel's errno, and what
  // it says about it.
  Result<void> exchange(NetlinkRequest& request, const Each& each = {});
  // What exchange() does with one datagram, aligned as an nlmsghdr: true where the answer ends with
  // it.
  static Result<bool> take(std::string_view datagram, unsigned sequence, const Each& each);
  // Whether there is an interface of that name: a fraction of what find_link() costs. No privilege
  // may be effective, for with it the kernel would load a module of that name.
  [[nodiscard]] bool has_link(std::string_view name) const;
  [[nodiscard]] const Fd& socket() const { return fd_; }  // for its options

 private:
  explicit Netlink(Fd fd)
      : fd_(std::move(fd)), answer_(std::make_unique_for_overwrite<char[]>(kLargestAnswer)) {}
  static constexpr std::size_t kLargestAnswer = 64UL << 10U;
  Fd fd_;
  std::unique_ptr<char[]> answer_;  // few answers touch all of it
  unsigned sequence_ = 0;
};

// A network interface, as RTM_NEWLINK tells it.
struct Link {
  explicit Link(const nlmsghdr& message);
  int index = 0;
  unsigned flags = 0;                           // IFF_*
  std::uint32_t mtu = 0, peer = 0, master = 0;  // peer: ifindex at the other end of a veth
  std::string name, kind, address, alias;       // address: raw bytes
  bool filters_vlans = false;                   // of a bridge
  std::uint16_t default_pvid = 0;               // of a bridge
  bool locked = false;                          // of a port
};
// No value: there is no such interface. `by`: IFLA_ALT_IFNAME finds it by an alternative name.
Result<std::optional<Link>> find_link(Netlink& netlink, std::string_view name,
                                      std::uint16_t by = IFLA_IFNAME);
// An interface's address, as RTM_NEWADDR tells it; nothing where the message is too short.
struct Address {
  std::uint32_t index = 0;
  IpNet net;
};
std::optional<Address> address_of(const nlmsghdr& message);
// All that such a message says.
Attrs link_attrs(const nlmsghdr& message);

}  // namespace userns
