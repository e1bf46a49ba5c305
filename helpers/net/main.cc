// userns-net, from argv to the exit status. Contract: userns-net(8).
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "common/asker.h"
#include "common/capability.h"
#include "common/config.h"
#include "common/groups.h"
#include "common/helper.h"
#include "common/namespace_fd.h"
#include "common/netlink.h"
#include "common/policy_files.h"
#include "common/trusted_file.h"
#include "helpers/net/nic.h"
#include "lockdown_blob.h"
#include "policy/net_conf.h"
#include "policy/net_rules.h"
#include "policy/text.h"
#include "policy/try.h"
#include "policy/who.h"

namespace userns::net {
namespace {

const std::string& conf_path() {
  static const std::string path = concat(std::string_view(kPolicyDir), "/net.conf");
  return path;
}

// What stays open until the act, so that what is judged is what is acted on. What could not be
// opened is said when it is asked for.
struct Opened {
  Result<Asker> asker;  // first: its child shall not have the others even for a moment
  Result<NetNamespace> netns;
  Result<std::vector<ConfText>> policy;
  Result<std::optional<Fd>> machine_id;
  Result<Netlink> netfilter;
};

Opened open_all(const Caller& caller, const Target& netns) {
  return {Asker::start(caller.uid, Asker::Asks::kUsersAndGroups), open_net_namespace(netns),
          PolicyFiles::read(conf_path(), "NC-READ"), open_trusted_file("/etc/machine-id"),
          with_capability({CAP_NET_ADMIN}, [] { return Netlink::open(NETLINK_NETFILTER); })};
}

struct Who {
  Caller caller;
  Groups groups;
};

// The lines of the policy that are for the caller and the bridge; they view `policy`.
Result<std::vector<NetLine>> find_lines(const Who& who, const Asker& asker, std::string_view login,
                                        std::span<const ConfText> policy, std::string_view bridge) {
  std::vector<NetLine> lines;
  for (const auto& file : policy) TRY(add_net_conf(lines, file.path, file.text));
  if (const auto odd = why_not_a_who(login); !odd.empty())
    return fail("SU-NAME", concat("no line of net.conf can name this user: the login name ", odd));
  std::optional<Error> failed;
  const auto in_group = [&](std::string_view name) {
    const auto gid = asker.group(name);
    if (!gid) failed = gid.error();
    return gid && *gid && who.groups.have(**gid);
  };
  std::erase_if(lines, [&](const NetLine& line) {
    return line.bridge != bridge || !is_for(line.who, who.caller.uid, login, in_group);
  });
  if (failed) return std::unexpected(*failed);
  return lines;
}

Result<void> put_out(Uid uid, std::string_view line) {
  step_down(uid);
  return write_all(Fd(::dup(STDOUT_FILENO)), line);
}

template <class Value>
std::string json_of(std::string_view key, const std::vector<Value>& values,
                    std::string (Value::*text)() const) {
  std::string list;
  for (const auto& one : values) list += concat(list.empty() ? "\"" : ",\"", (one.*text)(), "\"");
  return concat(",\"", key, "\":[", list, "]");
}

std::string line_of(const Nic& nic, std::string_view bridge) {
  return concat(
      R"({"host":")", nic.host, R"(","host_ifindex":)", nic.host_index, R"(,"ifindex":)", nic.index,
      R"(,"name":")", nic.name, R"(","mac":")", nic.mac.text(), R"(","mtu":)", nic.mtu,
      R"(,"bridge":")", bridge, "\"", json_of("addresses", nic.addresses, &IpNet::text),
      json_of("gateways", nic.gateways, &IpNet::address), json_of("dns", nic.dns, &IpNet::address),
      json_of("macs", nic.macs, &Mac::text), "}\n");
}

// The bridge's own addresses: no NIC is given one, and they say how long a network's prefix is.
Result<void> find_addresses(Netlink& netlink, std::optional<BridgeFacts>& bridge) {
  NetlinkRequest request(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
  return netlink.exchange(request, [&](const nlmsghdr& answer) {
    if (const auto found = address_of(answer); bridge && found && found->index == bridge->index)
      bridge->addresses.push_back(found->net);
  });
}

// Asked for where a line needs it: a kernel may load nftables for the answer.
Result<void> find_guard(Result<Netlink>& netfilter, NetFacts& facts) {
  if (std::ranges::none_of(facts.lines, [](const auto& l) { return l.terms.needs_guard(); }))
    return {};
  const auto found = netfilter ? has_guard(*netfilter) : std::unexpected(netfilter.error());
  facts.has_guard = found.value_or(false);
  if (found) return {};
  return fail("NR-GUARD", concat("cannot see whether the guard is loaded: ", found.error().text),
              found.error().code);
}

std::string summary_of(const NetRequest& request) {
  if (request.verb == NetRequest::Verb::kDelete) return concat(" del name=", request.name);
  constexpr std::string_view kKinds[] = {"pid:", "fd:", "pidfd:"};
  return concat(
      " add bridge=", request.bridge, " name=", request.name, " container=", request.container,
      " netns=", kKinds[static_cast<std::size_t>(request.netns.kind)], request.netns.number,
      request.mac ? " mac=" : "", request.mac ? request.mac->text() : "");
}

// Real and saved uid become root's if a setuid bit allows it, and the terminal's keys do nothing,
// so the caller cannot stop this process half-way. File capabilities, a cgroup of the caller's, the
// caller's RLIMIT_CPU and the kernel's memory killer still can: helpers/net/nic.h says what is left
// then.
class NetHelper final : public Helper {
 public:
  NetHelper()
      : Helper({.name = "userns-net",
                .limits = {.most_args = 12, .longest_arg = 4096},
                .filter = kNetFilter,
                .held = ::geteuid() == 0 ? std::optional(Uid{0}) : std::nullopt}) {}

 private:
  std::vector<int> named_fds(int argc, char** argv) override {
    sigset_t all;
    (void)(::sigfillset(&all) == 0 && ::sigprocmask(SIG_BLOCK, &all, nullptr) == 0);
    for (int i = 1; i + 1 < argc && !target_; ++i)
      if (raw_arg(argc, argv, i) == "--netns") target_ = parse_netns(argv[i + 1]);
    const bool by_fd = target_ && target_->kind != Target::Kind::kPid;
    return by_fd ? std::vector{target_->number} : std::vector<int>{};
  }
  [[nodiscard]] Needs needs() const override {
    return {.names = "CAP_NET_ADMIN", .required = {CAP_NET_ADMIN}, .wanted = {CAP_AUDIT_WRITE}};
  }
  void open() override {
    if (target_) opened_.emplace(open_all(caller_, *target_));
    // The kernel judges its requests as ours with CAP_NET_ADMIN.
    netlink_ = with_capability({CAP_NET_ADMIN}, [] { return Netlink::open(); });
  }
  Result<void> serve(std::span<const std::string_view> args) override;
  Result<void> add(Netlink& netlink, const NetRequest& request);
  Result<void> remove(Netlink& netlink, const NetRequest& request);

  Result<Groups> groups_ = Groups::of_caller();  // before the drop, which empties them
  Result<Target> target_ = fail({}, {});
  std::optional<Opened> opened_;
  Result<Netlink> netlink_ = fail({}, {});
};

Result<void> NetHelper::add(Netlink& netlink, const NetRequest& request) {
  auto& opened = opened_.value();
  const Who who{caller_, *groups_};
  if (!opened.netns) return std::unexpected(opened.netns.error());  // 5
  const auto bridge = TRY(find_link(netlink, request.bridge));
  const auto& policy = opened.policy;
  if (!policy) return std::unexpected(policy.error());
  const auto login = TRY(opened.asker ? opened.asker->login(who.caller.uid)
                                      : std::unexpected(opened.asker.error()));
  auto lines = find_lines(who, *opened.asker, login.name, *policy, request.bridge);
  opened.asker = fail({}, {});  // its child ends: it shall not wait for a reader as we may have to
  if (!lines) return std::unexpected(lines.error());
  NetFacts facts{.caller = who.caller.uid,
                 .netns_is_ours = opened.netns->ours,
                 .netns_owner = opened.netns->owner,
                 .bridge = {},
                 .has_guard = false,
                 .lines = std::move(*lines)};
  if (const auto& b = bridge)
    facts.bridge = {static_cast<std::uint32_t>(b->index),
                    b->kind == "bridge",
                    (b->flags & IFF_UP) != 0,
                    b->filters_vlans,
                    b->mtu,
                    {}};
  TRY(find_addresses(netlink, facts.bridge));
  TRY(find_guard(opened.netfilter, facts));
  const auto grant = TRY(decide(facts, request));  // 6
  record_grant();                                  // 7
  const auto user = is_interface_name(login.name) ? login.name : std::string{};
  const auto host = read_opened(opened.machine_id, "/etc/machine-id", "NC-READ").value_or("");
  const auto nic = TRY(make_nic(netlink, grant, *bridge, *opened.netns, user, host));  // 8
  const auto said = put_out(who.caller.uid, line_of(nic, request.bridge));             // 9
  if (!said) (void)unmake_nic(netlink, nic.host);
  return said;
}

Result<void> NetHelper::remove(Netlink& netlink, const NetRequest& request) {
  const auto link = TRY(find_link(netlink, request.name));
  TRY(may_delete(request.name, link ? link->kind : "", caller_.uid));
  record_grant();
  return unmake_nic(netlink, request.name);
}

Result<void> NetHelper::serve(std::span<const std::string_view> args) {
  if (!groups_) return std::unexpected(groups_.error());
  const auto request = TRY(parse_net_request(args));  // 4
  summary_ += summary_of(request);
  if (!netlink_) return std::unexpected(netlink_.error());
  if (request.verb == NetRequest::Verb::kDelete) return remove(*netlink_, request);
  return add(*netlink_, request);
}

}  // namespace
}  // namespace userns::net

int main(int argc, char** argv) { userns::net::NetHelper().run(argc, argv); }
