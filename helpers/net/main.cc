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

// All that is parsed before the lock: which namespace is to be opened.
std::optional<NetnsTarget> named_netns(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i)
    if (raw_arg(argc, argv, i) == "--netns")
      if (const auto netns = parse_netns(argv[i + 1])) return *netns;
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

const std::string& conf_path() {
  static const std::string path = concat(std::string_view(kPolicyDir), "/net.conf");
  return path;
}

// What stays open until the act, so that what is judged is what is acted on. What could not be
// opened is said when it is asked for.
struct Opened {
  Result<Asker> asker;  // first: its child shall not have the others even for a moment
  Result<NetNamespace> netns;
  Result<std::optional<Fd>> policy, machine_id;
};

Opened open_all(const Caller& caller, const NetnsTarget& netns) {
  return {Asker::start(caller.uid), open_net_namespace(netns), open_trusted_file(conf_path()),
          open_trusted_file("/etc/machine-id")};
}

struct Who {
  Caller caller;
  Groups groups;
  AuditLog& log;
  std::string& summary;
};

// The lines of the policy that are for the caller and the bridge; they view `policy`.
Result<std::vector<NetLine>> find_lines(const Who& who, const Asker& asker, std::string_view login,
                                        std::string_view policy, std::string_view bridge) {
  auto lines = parse_net_conf(conf_path(), policy);
  if (!lines) return lines;
  if (const auto odd = why_not_a_who(login); !odd.empty())
    return fail("SU-NAME", concat("no line of net.conf can name this user: the login name ", odd));
  std::optional<Error> failed;
  const auto in_group = [&](std::string_view name) {
    const auto gid = asker.group(name);
    if (!gid) failed = gid.error();
    return gid && *gid && who.groups.have(**gid);
  };
  std::erase_if(*lines, [&](const NetLine& line) {
    return line.bridge != bridge || !is_for(line.who, who.caller.uid, login, in_group);
  });
  if (failed) return std::unexpected(*failed);
  return lines;
}

Result<void> put_out(Uid uid, std::string_view line) {
  step_down(uid);
  return write_all(Fd(::dup(STDOUT_FILENO)), line);
}

std::string line_of(const Nic& nic, std::string_view bridge) {
  return concat(R"({"host":")", nic.host, R"(","host_ifindex":)", nic.host_index, R"(,"ifindex":)",
                nic.index, R"(,"name":")", nic.name, R"(","mac":")", nic.mac.text(), R"(","mtu":)",
                nic.mtu, R"(,"bridge":")", bridge, "\"}\n");
}

Result<void> add(Netlink& netlink, Who& who, const Opened& opened, const NetRequest& request) {
  if (!opened.netns) return std::unexpected(opened.netns.error());  // 5
  const auto bridge = find_link(netlink, request.bridge);
  if (!bridge) return std::unexpected(bridge.error());
  const auto policy = read_opened(opened.policy, conf_path(), "NC-READ");
  if (!policy) return std::unexpected(policy.error());
  const auto login =
      opened.asker ? opened.asker->login(who.caller.uid) : std::unexpected(opened.asker.error());
  if (!login) return std::unexpected(login.error());
  auto lines = find_lines(who, *opened.asker, login->name, *policy, request.bridge);
  if (!lines) return std::unexpected(lines.error());
  NetFacts facts{.caller = who.caller.uid,
                 .netns_is_ours = opened.netns->ours,
                 .netns_owner = opened.netns->owner,
                 .bridge = {},
                 .lines = std::move(*lines)};
  if (const auto& b = *bridge)
    facts.bridge = {static_cast<std::uint32_t>(b->index), b->kind == "bridge",
                    (b->flags & IFF_UP) != 0, b->filters_vlans, b->mtu};
  const auto grant = decide(facts, request);  // 6
  if (!grant) return std::unexpected(grant.error());
  who.log.granted(who.summary);  // 7
  const auto user = is_interface_name(login->name) ? login->name : std::string{};
  const auto host = read_opened(opened.machine_id, "/etc/machine-id", "NC-READ").value_or("");
  const auto nic = make_nic(netlink, *grant, **bridge, *opened.netns, user, host);  // 8
  if (!nic) return std::unexpected(nic.error());
  const auto said = put_out(who.caller.uid, line_of(*nic, request.bridge));  // 9
  if (!said) (void)unmake_nic(netlink, nic->host);
  return said;
}

Result<void> remove(Netlink& netlink, Who& who, const NetRequest& request) {
  const auto link = find_link(netlink, request.name);
  if (!link) return std::unexpected(link.error());
  const auto may = may_delete(request.name, *link ? (*link)->kind : "", who.caller.uid);
  if (!may) return may;
  who.log.granted(who.summary);
  return unmake_nic(netlink, request.name);
}

std::string summary_of(const NetRequest& request) {
  if (request.verb == NetRequest::Verb::kDelete) return concat(" del name=", request.name);
  constexpr std::string_view kKinds[] = {"fd:", "pidfd:", "pid:"};
  return concat(
      " add bridge=", request.bridge, " name=", request.name, " container=", request.container,
      " netns=", kKinds[static_cast<std::size_t>(request.netns.kind)], request.netns.number,
      request.mac ? " mac=" : "", request.mac ? request.mac->text() : "");
}

// The nine steps (SECURITY.md, "The life of a helper"); reporting is main's. `summary` is what is
// known so far, for the audit record: numbers and checked words only.
Result<void> serve(int argc, char** argv, AuditLog& log, std::string& summary) {
  const auto target = named_netns(argc, argv);  // 1: all that is parsed before the lock
  std::vector<int> keep;
  if (target && target->kind != NetnsTarget::Kind::kPid) keep = {target->number};
  const auto args = sanitise(argc, argv, kLimits, keep);
  const auto caller = Caller::identify();  // 2
  auto groups = Groups::of_caller();
  summary = concat("uid=", caller.uid.value(), " gid=", caller.gid.value());
  if (auto dropped = become_unstoppable_and_drop(caller); !dropped) return dropped;  // 3
  const auto opened = target ? std::optional(open_all(caller, *target)) : std::nullopt;
  if (auto logs = log.open(); !logs) return logs;
  // The kernel judges its requests as ours with CAP_NET_ADMIN.
  auto netlink = with_capability({CAP_NET_ADMIN}, [] { return Netlink::open(); });
  if (auto locked = lock_down(kNetFilter); !locked) return locked;
  if (!args) return std::unexpected(args.error());  // 4
  if (!groups) return std::unexpected(groups.error());
  const auto request = parse_net_request(*args);
  if (!request) return std::unexpected(request.error());
  summary += summary_of(*request);
  if (!netlink) return std::unexpected(netlink.error());
  Who who{caller, std::move(*groups), log, summary};
  if (request->verb == NetRequest::Verb::kDelete) return remove(*netlink, who, *request);
  return add(*netlink, who, opened.value(), *request);
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
  AuditLog log(net::kProgram);
  std::string summary;
  const auto done = net::serve(argc, argv, log, summary);
  if (done) ::_exit(0);
  log.not_done(summary, done.error());
  step_down(uid);
  (void)keep_only({});
  report(net::kProgram, done.error());
  ::_exit(1);
}
