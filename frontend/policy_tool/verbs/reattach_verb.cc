// userns-policy reattach: ports whose bridge went come back to the one that has its name now.
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/bridge_port.h"
#include "common/netlink.h"
#include "frontend/nics/host_ends.h"
#include "frontend/policy_tool/guard/nft.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/policy_tool/verbs/answer.h"
#include "policy/net_conf.h"
#include "policy/net_rules.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr unsigned kSalts = 9;  // as userns-net tries them

class Reattacher {
 public:
  Reattacher(Netlink netlink, std::vector<NetLine> lines, bool dry_run)
      : netlink_(std::move(netlink)), lines_(std::move(lines)), dry_run_(dry_run) {}

  // What was done with the port, or why nothing was. One without a bridge is an interface of the
  // host's own, whose frames meet no lock and no guard of a bridge: it goes down.
  Result<std::string> reattach(const HostEnd& nic) {
    auto done = go_back(nic);
    if (!done && !dry_run_) (void)set_flags(changes(), nic, 0);
    return done;
  }

 private:
  ChangeLink changes() {
    return [&](NetlinkRequest& request) { return netlink_.exchange(request); };
  }

  Result<std::string> go_back(const HostEnd& nic) {
    const auto name = nic.word("bridge");
    const auto bridge = TRY(find_link(netlink_, name));
    if (!bridge || bridge->kind != "bridge")
      return fail({}, concat("there is no bridge ", name, " now"));
    const auto container = nic.word("container"), inside = nic.word("name");
    const auto grant = TRY(
        judge(nic, *bridge,
              {.netns = {}, .bridge = name, .name = inside, .container = container, .mac = {}}));
    if (!dry_run_) TRY(bind(nic, *bridge, grant));
    return concat(dry_run_ ? "would go back to " : "is back on ", name);
  }

  // As userns-net would judge a new one: a line that was taken away gives nothing back.
  Result<NetGrant> judge(const HostEnd& nic, const Link& bridge, const NetRequest& request) {
    const auto user = TRY(find_user(concat(nic.slot.owner.value())));
    NetFacts facts{.caller = user.uid,
                   .netns_is_ours = false,
                   .netns_owner = user.uid,
                   .bridge = BridgeFacts{static_cast<std::uint32_t>(bridge.index),
                                         true,
                                         (bridge.flags & IFF_UP) != 0,
                                         bridge.filters_vlans,
                                         bridge.mtu,
                                         {}},
                   .has_guard = has_guard(),
                   .lines = {}};
    std::optional<Error> failed;
    for (const auto& line : lines_)
      if (line.bridge == request.bridge && user.is_meant_by(line.who, failed))
        facts.lines.push_back(line);
    if (failed) return std::unexpected(*failed);
    const auto most =
        std::accumulate(facts.lines.begin(), facts.lines.end(), std::uint64_t{0},
                        [](std::uint64_t sum, const NetLine& line) { return sum + line.count; });
    if (most > 0 && nic.slot.number >= most)
      return fail("NR-QUOTA", concat("net.conf gives ", user.text(), " only ", most,
                                     " NICs there, and this is number ", nic.slot.number + 1));
    return decide(facts, request);
  }

  Result<void> bind(const HostEnd& nic, const Link& bridge, const NetGrant& grant) {
    const auto mac = TRY(Mac::parse(nic.word("mac")));
    const auto& terms = grant.terms(nic.slot.number);
    const auto change = changes();
    if (auto done = pin_address(change, bridge); !done) return done;
    if (auto may = may_keep(nic, grant, mac); !may) return may;
    auto done = join(change, nic, bridge, terms);
    if (done) done = bind_joined(change, nic, bridge, grant, mac);
    // All or nothing: one that is on the bridge and bound to nothing would not be looked at again.
    if (!done) (void)leave(change, nic);
    return done;
  }

  Result<void> bind_joined(const ChangeLink& change, const HostEnd& nic, const Link& bridge,
                           const NetGrant& grant, const Mac& mac) {
    const auto& terms = grant.terms(nic.slot.number);
    const auto macs = more_macs(nic, grant, mac);
    if (auto done = bind_port(
            change,
            {.terms = terms, .bridge = bridge, .mac = mac, .macs = macs, .alias = nic.alias},
            nic.index);
        !done)
      return done;
    const auto now = find_link(netlink_, nic.name);
    if (!now || !*now || (*now)->locked == terms.spoof)
      return fail("NR-PORT", "the kernel did not lock the port against spoofing");
    return set_flags(change, nic, IFF_UP);
  }

  // Whether the line would give the port the addresses that it has.
  Result<void> may_keep(const HostEnd& nic, const NetGrant& grant, const Mac& mac) const {
    const auto slot = nic.slot.number;
    const auto& terms = grant.terms(slot);
    const bool may_choose = (terms.any_mac || terms.spoof) && !mac.is_of_address();
    const bool has_own = may_choose || salt_of(nic, grant, mac) < kSalts;
    const auto places = terms.addresses();
    if (places == 0 ? nic.addresses.empty() && has_own : has_place(nic, grant, mac)) return {};
    return fail("NR-ADDRESS", "net.conf gives it other addresses now: restart the container");
  }

  static bool has_place(const HostEnd& nic, const NetGrant& grant, const Mac& mac) {
    const auto slot = nic.slot.number;
    const auto& terms = grant.terms(slot);
    for (std::uint32_t place = 0; place < terms.addresses(); ++place) {
      if (Mac::of_address(terms, place) != mac) continue;
      const auto given = grant.addresses(slot, place);
      return !given.empty() &&
             std::ranges::is_permutation(given, nic.addresses, {}, &IpNet::address);
    }
    return false;
  }

  static Result<void> leave(const ChangeLink& change, const HostEnd& nic) {
    NetlinkRequest request(RTM_NEWLINK, 0, link_header(nic.index));
    return change(request.put_number(IFLA_MASTER, 0));
  }

  // Down: nothing passes before all that binds the port is there.
  static Result<void> join(const ChangeLink& change, const HostEnd& nic, const Link& bridge,
                           const NetTerms& terms) {
    if (auto down = set_flags(change, nic, 0); !down) return down;
    NetlinkRequest request(RTM_NEWLINK, 0, link_header(nic.index));
    if (bridge.address != std::string(6, '\0')) request.put(IFLA_ADDRESS, bridge.address);
    request.put_number(IFLA_GROUP, terms.port_group())
        .put_number(IFLA_MTU, bridge.mtu)
        .put_number(IFLA_MASTER, bridge.index);
    return change(request);
  }

  static Result<void> set_flags(const ChangeLink& change, const HostEnd& nic, unsigned flags) {
    auto header = link_header(nic.index);
    header.ifi_flags = flags, header.ifi_change = IFF_UP;
    NetlinkRequest request(RTM_NEWLINK, 0, header);
    return change(request);
  }

  // Those of macs=, which userns-net printed: by the salt that gave the NIC its own.
  // As userns-net tried them. kSalts: none of them gives the address.
  unsigned salt_of(const HostEnd& nic, const NetGrant& grant, const Mac& own) const {
    const auto name = nic.word("name");
    unsigned salt = 0;
    while (salt < kSalts && grant.mac(host_, name, nic.slot.number, salt) != own) ++salt;
    return salt;
  }

  std::vector<Mac> more_macs(const HostEnd& nic, const NetGrant& grant, const Mac& own) const {
    const auto name = nic.word("name");
    const auto of = [&](unsigned salt) { return grant.mac(host_, name, nic.slot.number, salt); };
    auto salt = salt_of(nic, grant, own);
    if (salt == kSalts) salt = 0;  // one that the user chose
    std::vector<Mac> macs;
    for (unsigned i = 1; i <= grant.terms(nic.slot.number).macs; ++i)
      macs.push_back(of(salt + (i << 10U)));
    return macs;
  }

  // Only root sees it, and --dry-run takes it for loaded then.
  bool has_guard() {
    if (::geteuid() != 0) return true;
    if (!guard_)
      guard_ = run_nft({"list", "table", "bridge", std::string(kGuardTable)}, {}).has_value();
    return *guard_;
  }

  Netlink netlink_;
  std::vector<NetLine> lines_;
  bool dry_run_;
  std::string host_ = read_policy("/etc/machine-id").value_or("");
  std::optional<bool> guard_;
};

bool is_lost(const HostEnd& nic) {
  return nic.master == 0 && nic.netnsid >= 0 && !nic.alias.empty() &&
         nic.slot.bridge == bridge_number(nic.word("bridge"));
}

std::string who_text(const HostEnd& nic) {
  const auto user = nic.word("user"), container = nic.word("container");
  return concat(nic.name, " (", user.empty() ? concat("uid ", nic.slot.owner.value()) : user,
                container.empty() ? "" : concat(", container ", container), ")");
}

}  // namespace

int reattach_verb(const Words& words) {
  const auto refuse = [](std::string text) {
    return tool_failure({.rule = {}, .code = 0, .text = std::move(text)});
  };
  if (words.names.size() > 1) return refuse("reattach takes at most one bridge");
  if (::geteuid() != 0 && !words.has("dry-run"))
    return refuse("only root may put ports on a bridge: add sudo, or --dry-run");
  const auto texts = read_as_helpers_do(PolicyFile::kNet);
  if (!texts) return tool_failure(texts.error());
  std::vector<NetLine> lines;
  for (const auto& file : *texts)
    if (const auto added = add_net_conf(lines, file.path, file.text); !added)
      return tool_failure(added.error());
  auto netlink = Netlink::open();
  const auto nics = netlink ? all_nics() : std::unexpected(netlink.error());
  if (!nics) return tool_failure(nics.error());
  Reattacher reattacher(std::move(*netlink), std::move(lines), words.has("dry-run"));
  std::string said;
  int status = 0;
  for (const auto& nic : *nics) {
    if (!is_lost(nic)) continue;
    if (!words.names.empty() && nic.word("bridge") != words.names.front()) continue;
    const auto done = reattacher.reattach(nic);
    if (!done) status = 1;
    said += concat(who_text(nic), " ",
                   done ? *done : concat("stays without a bridge: ", done.error().text), "\n");
  }
  return put(said.empty() ? "every port has its bridge\n" : said, status);
}

}  // namespace userns::frontend
