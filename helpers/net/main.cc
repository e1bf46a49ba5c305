// userns-net, from argv to the exit status. Contract: userns-net(8).
#include <net/if.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>
#include <utility>

#include "common/asker.h"
#include "common/audit.h"
#include "common/caller.h"
#include "common/capability.h"
#include "common/config.h"
#include "common/groups.h"
#include "common/lockdown.h"
#include "common/namespace_fd.h"
#include "common/netlink.h"
#include "common/report.h"
#include "common/startup.h"
#include "common/trusted_file.h"
#include "helpers/net/nic.h"
#include "lockdown_blob.h"
#include "policy/net_conf.h"
#include "policy/net_rules.h"
#include "policy/text.h"
#include "policy/who.h"

namespace userns::net {
namespace {

constexpr const char* kProgram = "userns-net";
constexpr StartupLimits kLimits{.most_args = 12, .longest_arg = 4096};

// Before the parsing proper: which fd is not to be closed.
std::vector<int> named_fd(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i)
    if (const auto netns = parse_netns(argv[i + 1]); raw_arg(argc, argv, i) == "--netns" && netns)
      return netns->kind == NetnsTarget::Kind::kPid ? std::vector<int>{}
                                                    : std::vector{netns->number};
  return {};
}

// Real and saved uid become root's where a setuid bit allows it, and the terminal's keys do
// nothing: nobody stops us half-way. With file capabilities, in a cgroup of the caller's, or by the
// kernel's memory killer it can happen all the same: helpers/net/nic.h says what then is left.
Result<void> become_unstoppable_and_drop(const Caller& caller) {
  const bool is_root = ::geteuid() == 0;
  sigset_t all;
  (void)(::sigfillset(&all) == 0 && ::sigprocmask(SIG_BLOCK, &all, nullptr) == 0);
  return drop_all_but(
      {.names = "CAP_NET_ADMIN", .required = {CAP_NET_ADMIN}, .wanted = {CAP_AUDIT_WRITE}},
      caller.uid, is_root ? std::optional(Uid{0}) : std::nullopt);
}

struct Who {
  Caller caller;
  Groups groups;
  Asker asker;
  std::string name;  // empty where the uid has none
  AuditLog log{kProgram};
};

// What was gathered stays open until the act, so that what is judged is what is acted on.
struct Gathered {
  NetNamespace netns;
  std::optional<Link> bridge;
  std::string policy;  // the lines view it
  std::string host;    // what tells this machine from others; may be empty
  NetFacts facts;
};

Result<Gathered> gather(Netlink& netlink, Who& who, const NetRequest& request) {
  auto netns = open_net_namespace(request.netns);
  if (!netns) return std::unexpected(netns.error());
  auto bridge = find_link(netlink, request.bridge);
  if (!bridge) return std::unexpected(bridge.error());
  const std::string path = concat(std::string_view(kPolicyDir), "/net.conf");
  auto policy = read_trusted_file(path, "NC-READ");
  if (!policy) return std::unexpected(policy.error());
  Gathered all{std::move(*netns),
               std::move(*bridge),
               std::move(*policy),
               read_trusted_file("/etc/machine-id", "NC-READ").value_or(""),
               {}};
  const auto lines = parse_net_conf(path, all.policy);
  if (!lines) return std::unexpected(lines.error());
  all.facts.caller = who.caller.uid;
  all.facts.netns_is_ours = all.netns.ours;
  all.facts.netns_owner = all.netns.owner;
  std::optional<Error> failed;
  const auto in_group = [&](std::string_view name) {
    const auto gid = who.asker.group(name);
    if (!gid) failed = gid.error();
    return gid && *gid && who.groups.have(**gid);
  };
  for (const auto& line : *lines)
    if (line.bridge == request.bridge && is_for(line.who, who.caller.uid, who.name, in_group))
      all.facts.lines.push_back(line);
  if (failed) return std::unexpected(*failed);
  if (const auto& b = all.bridge)
    all.facts.bridge = {static_cast<std::uint32_t>(b->index), b->kind == "bridge",
                        (b->flags & IFF_UP) != 0, b->filters_vlans, b->mtu};
  return all;
}

void audit(Who& who, const NetRequest& request, const Error* against) {
  constexpr std::string_view kVerbs[] = {"add", "del"};
  const auto words =
      concat(kVerbs[static_cast<std::size_t>(request.verb)], " uid=", who.caller.uid.value(),
             " bridge=", request.bridge, " name=", request.name, " container=", request.container,
             " netns=", request.netns.number);
  against == nullptr ? who.log.granted(words) : who.log.not_done(words, *against);
}

Result<void> put_out(Uid uid, std::string_view line) {
  step_down(uid);
  return write_all(Fd(::dup(STDOUT_FILENO)), line);
}

Result<void> add(Netlink& netlink, Who& who, const NetRequest& request) {
  const auto gathered = gather(netlink, who, request);            // 5
  const auto grant = gathered ? decide(gathered->facts, request)  // 6
                              : Result<NetGrant>(std::unexpected(gathered.error()));
  if (auto locked = lock_down(kNetFilter); !locked) return locked;
  audit(who, request, grant ? nullptr : &grant.error());  // 7
  if (!grant) return std::unexpected(grant.error());
  const auto user = is_interface_name(who.name) ? std::string_view(who.name) : std::string_view{};
  const auto nic =
      make_nic(netlink, *grant, *gathered->bridge, gathered->netns, user, gathered->host);  // 8
  if (!nic) audit(who, request, &nic.error());
  if (!nic) return std::unexpected(nic.error());
  const auto said = put_out(
      who.caller.uid,  // 9
      concat(R"({"host":")", nic->host, R"(","host_ifindex":)", nic->host_index, R"(,"ifindex":)",
             nic->index, R"(,"name":")", nic->name, R"(","mac":")", nic->mac.text(), R"(","mtu":)",
             nic->mtu, R"(,"bridge":")", request.bridge, "\"}\n"));
  if (!said) (void)unmake_nic(netlink, nic->host);
  return said;
}

Result<void> remove(Netlink& netlink, Who& who, const NetRequest& request) {
  if (auto locked = lock_down(kNetFilter); !locked) return locked;
  const auto link = find_link(netlink, request.name);
  if (!link) return std::unexpected(link.error());
  const auto may = may_delete(request.name, *link ? (*link)->kind : "", who.caller.uid);
  audit(who, request, may ? nullptr : &may.error());
  if (!may) return may;
  auto gone = unmake_nic(netlink, request.name);
  if (!gone) audit(who, request, &gone.error());
  return gone;
}

// The nine steps (SECURITY.md, "The life of a helper"); reporting is main's.
Result<void> serve(int argc, char** argv) {
  const auto args = sanitise(argc, argv, kLimits, named_fd(argc, argv));  // 1
  const auto caller = Caller::identify();                                 // 2
  auto groups = Groups::of_caller();
  if (auto dropped = become_unstoppable_and_drop(caller); !dropped) return dropped;  // 3
  if (!args) return std::unexpected(args.error());                                   // 4
  if (!groups) return std::unexpected(groups.error());
  const auto request = parse_net_request(*args);
  if (!request) return std::unexpected(request.error());
  auto asker = Asker::start(caller.uid);
  if (!asker) return std::unexpected(asker.error());
  auto login = asker->login();
  if (!login) return std::unexpected(login.error());
  if (const auto odd = why_not_a_who(login->name); !odd.empty())
    return fail("SU-NAME", concat("no line of net.conf can name this user: the login name ", odd));
  Who who{caller, std::move(*groups), std::move(*asker), std::move(login->name)};
  who.log.open();
  auto netlink = open_netlink();
  if (!netlink) return std::unexpected(netlink.error());
  const auto act = request->verb == NetRequest::Verb::kDelete ? remove : add;
  return act(*netlink, who, *request);
}

}  // namespace
}  // namespace userns::net

int main(int argc, char** argv) {
  using namespace userns;
  exit_when_out_of_memory(net::kProgram);
  const Uid uid = Caller::identify().uid;
  if (raw_arg(argc, argv, 1) == "--version" && argc == 2)
    return drop_all_but({}, uid) && net::put_out(uid, concat("userns-net (userns suite) ",
                                                             std::string_view(kVersion), "\n"))
               ? 0
               : 1;
  const auto done = net::serve(argc, argv);
  if (done) return 0;
  step_down(uid);
  (void)keep_only({});
  report(net::kProgram, done.error());
  return 1;
}
