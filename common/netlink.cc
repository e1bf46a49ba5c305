#include "common/netlink.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <utility>

#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

// The kernel's own words on why it refused, where it has some.
std::string explanation(const nlmsghdr& head) {
  if (head.nlmsg_type != NLMSG_ERROR || (head.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  const auto offset = sizeof(nlmsgerr);  // NETLINK_CAP_ACK: the request is not echoed
  if (mnl_nlmsg_get_payload_len(&head) < offset) return {};
  const Attrs attrs(mnl_nlmsg_get_payload_offset(&head, offset),
                    mnl_nlmsg_get_payload_len(&head) - offset);
  const auto text = attrs.text(NLMSGERR_ATTR_MSG);
  return text.empty() ? std::string{} : concat(" (", quoted(text), ")");
}

}  // namespace

Attrs::Attrs(const void* first, std::size_t length) {
  const auto* const end = static_cast<const char*>(first) + length;
  for (const auto* a = static_cast<const nlattr*>(first);
       mnl_attr_ok(a, static_cast<int>(end - reinterpret_cast<const char*>(a)));
       a = mnl_attr_next(a))
    if (mnl_attr_get_type(a) < kMostAttrs) found_[mnl_attr_get_type(a)] = a;
}

Attrs Attrs::nested(std::size_t type) const { return {bytes(type).data(), bytes(type).size()}; }

std::string_view Attrs::bytes(std::size_t type) const {
  const auto* const a = found_[type];
  if (a == nullptr) return {};
  return {static_cast<const char*>(mnl_attr_get_payload(a)), mnl_attr_get_payload_len(a)};
}

std::string_view Attrs::text(std::size_t type) const {
  auto found = bytes(type);
  return take_until(found, '\0');
}

NetlinkRequest::NetlinkRequest(std::uint16_t type, int flags) {
  auto* const header = mnl_nlmsg_put_header(buffer_.data());
  header->nlmsg_type = type;
  header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
}
NetlinkRequest& NetlinkRequest::put(std::uint16_t type, std::string_view bytes) {
  mnl_attr_put(head(), type, bytes.size(), bytes.data());
  return *this;
}
NetlinkRequest& NetlinkRequest::put_name(std::uint16_t type, std::string_view text) {
  return put(type, {std::string(text).c_str(), text.size() + 1});
}
NetlinkRequest& NetlinkRequest::nest(std::uint16_t type,
                                     const std::function<void(NetlinkRequest&)>& fill) {
  auto* const start = mnl_attr_nest_start(head(), type);
  fill(*this);
  mnl_attr_nest_end(head(), start);
  return *this;
}
NetlinkRequest& NetlinkRequest::raw(std::string_view bytes) {
  std::memcpy(mnl_nlmsg_put_extra_header(head(), bytes.size()), bytes.data(), bytes.size());
  return *this;
}

Result<Netlink> Netlink::open(int protocol) {
  Netlink netlink(Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)));
  if (!netlink.fd_.valid()) return fail_errno("cannot open a netlink socket");
  // Only for better words; a kernel without them still answers.
  const int on = 1;
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  (void)::setsockopt(netlink.fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK})
    (void)::setsockopt(netlink.fd_.get(), SOL_NETLINK, option, &on, sizeof on);
  return netlink;
}

Result<bool> Netlink::take(std::string_view datagram, unsigned sequence, const Each& each) {
  auto left = static_cast<int>(datagram.size());
  for (const auto* one = reinterpret_cast<const nlmsghdr*>(datagram.data());
       mnl_nlmsg_ok(one, left); one = mnl_nlmsg_next(one, &left)) {
    // libmnl takes a length beyond 2^31 for a negative one, which is less than what is left.
    if (one->nlmsg_len > static_cast<std::uint32_t>(left)) break;
    if (one->nlmsg_seq != sequence) continue;
    if (one->nlmsg_type == NLMSG_DONE) return true;
    if (one->nlmsg_type != NLMSG_ERROR) {
      if (each) each(*one);
      continue;
    }
    int code = EBADMSG;
    if (mnl_nlmsg_get_payload_len(one) >= sizeof(nlmsgerr))
      code = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(one))->error;
    return code == 0 ? Result<bool>(true)
                     : fail({}, concat("the kernel refused", explanation(*one)), code);
  }
  return false;
}

Result<void> Netlink::exchange(NetlinkRequest& request, const Each& each) {
  auto* const head = request.head();
  if ((head->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP) head->nlmsg_flags |= NLM_F_ACK;
  head->nlmsg_seq = ++sequence_;
  sockaddr_nl kernel{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
  if (::sendto(fd_.get(), head, head->nlmsg_len, 0, reinterpret_cast<const sockaddr*>(&kernel),
               sizeof kernel) < 0)
    return fail_errno("cannot ask the kernel by netlink");
  for (int lost = 0;;) {
    const auto got = ::recv(fd_.get(), answer_.get(), kLargestAnswer, MSG_TRUNC);
    // Whether the request was carried out is known only from its answer: a failure to read is not
    // yet the end.
    if (got < 0 && ++lost < 3) continue;
    if (got < 0) return fail_errno("the kernel's netlink answer was lost");
    if (static_cast<std::size_t>(got) > kLargestAnswer)
      return fail({}, "the kernel's netlink answer was too long", EMSGSIZE);
    const auto ended = TRY(take({answer_.get(), static_cast<std::size_t>(got)}, sequence_, each));
    if (ended) return {};
  }
}

bool Netlink::has_link(std::string_view name) const {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  return ::ioctl(fd_.get(), SIOCGIFINDEX, &request) == 0;
}

std::optional<Address> address_of(const nlmsghdr& message) {
  ifaddrmsg header{};
  const auto length = mnl_nlmsg_get_payload_len(&message);
  if (length < sizeof header) return std::nullopt;
  std::memcpy(&header, mnl_nlmsg_get_payload(&message), sizeof header);
  const Attrs attrs(mnl_nlmsg_get_payload_offset(&message, sizeof header), length - sizeof header);
  const auto local = attrs.bytes(IFA_LOCAL);
  const auto bytes = local.empty() ? attrs.bytes(IFA_ADDRESS) : local;
  auto net = IpNet::of_bytes(bytes, header.ifa_prefixlen);
  return net ? std::optional(Address{header.ifa_index, *net}) : std::nullopt;
}

Attrs link_attrs(const nlmsghdr& message) {
  const auto length = mnl_nlmsg_get_payload_len(&message);
  return {mnl_nlmsg_get_payload_offset(&message, sizeof(ifinfomsg)),
          length > sizeof(ifinfomsg) ? length - sizeof(ifinfomsg) : 0};
}

Link::Link(const nlmsghdr& message) {
  if (mnl_nlmsg_get_payload_len(&message) < sizeof(ifinfomsg)) return;
  const auto* const header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
  const auto attrs = link_attrs(message), info = attrs.nested(IFLA_LINKINFO),
             own = info.nested(IFLA_INFO_DATA);
  index = header->ifi_index, flags = header->ifi_flags;
  mtu = attrs.number<std::uint32_t>(IFLA_MTU), peer = attrs.number<std::uint32_t>(IFLA_LINK),
  master = attrs.number<std::uint32_t>(IFLA_MASTER);
  name = attrs.text(IFLA_IFNAME), kind = info.text(IFLA_INFO_KIND),
  address = attrs.bytes(IFLA_ADDRESS);
  alias = attrs.text(IFLA_IFALIAS);
  filters_vlans = kind == "bridge" && own.number<std::uint8_t>(IFLA_BR_VLAN_FILTERING) != 0;
  default_pvid =
      kind == "bridge" ? own.number<std::uint16_t>(IFLA_BR_VLAN_DEFAULT_PVID) : std::uint16_t{0};
  locked = info.nested(IFLA_INFO_SLAVE_DATA).number<std::uint8_t>(IFLA_BRPORT_LOCKED) != 0;
}

Result<std::optional<Link>> find_link(Netlink& netlink, std::string_view name, std::uint16_t by) {
  NetlinkRequest request(RTM_GETLINK, 0, ifinfomsg{});
  request.put_name(by, name);
  std::optional<Link> link;
  const auto done =
      netlink.exchange(request, [&](const nlmsghdr& answer) { link.emplace(answer); });
  if (!done && done.error().code == ENODEV) return std::nullopt;
  if (!done) return std::unexpected(done.error());
  if (!link || (by == IFLA_IFNAME && link->name != name)) return std::nullopt;
  return link;
}

}  // namespace userns
