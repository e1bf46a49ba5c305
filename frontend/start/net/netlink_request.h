// A request to the kernel's rtnetlink: header, family header, attributes. What is put is a handful
// of attributes. Source: rtnetlink(7), netlink(7).
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/fd.h"

namespace userns::frontend {

class NetlinkRequest {
 public:
  template <class Header>
  NetlinkRequest(std::uint16_t type, int flags, const Header& header) {
    append({reinterpret_cast<const char*>(&header), sizeof header});
    head_.nlmsg_type = type;
    head_.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  }
  NetlinkRequest& put(std::uint16_t type, std::string_view value);
  template <class Number>
  NetlinkRequest& put_number(std::uint16_t type, Number value) {
    return put(type, {reinterpret_cast<const char*>(&value), sizeof value});
  }
  // What is put until close() is inside of it.
  [[nodiscard]] std::size_t open(std::uint16_t type);
  void close(std::size_t opened);
  template <class Header>
  void put_header(const Header& header) {
    append({reinterpret_cast<const char*>(&header), sizeof header});
  }

  // The kernel's errno; 0 if it did as asked. The kernel judges who sends, not who opened the
  // socket: the destination is written out (netlink_ns_capable() in net/netlink/af_netlink.c).
  [[nodiscard]] int send(const Fd& socket);

 private:
  void append(std::string_view bytes);
  nlmsghdr head_{};
  std::string body_;
};

// Not valid(): errno says why. In the network namespace of the caller.
Fd open_rtnetlink();

}  // namespace userns::frontend
