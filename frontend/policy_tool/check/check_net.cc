#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "frontend/policy_tool/check/checks.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

struct Checker : Reporter {
  const HostFacts& facts;

  // The word of the line that begins so, which the parser has seen.
  static std::string_view word(const NetEntry& entry, std::string_view beginning) {
    const auto text = entry.line.text;
    const auto at = text.find(beginning);
    return at == std::string_view::npos ? text
                                        : text.substr(at, text.find_first_of(" \t", at) - at);
  }

  void check_count(const NetEntry& entry) const {
    const auto after =
        entry.parsed.bridge.data() + entry.parsed.bridge.size() - entry.line.text.data();
    auto rest = entry.line.text.substr(static_cast<std::size_t>(after));
    rest.remove_prefix(rest.find_first_not_of(" \t"));
    const auto count = rest.substr(0, rest.find_first_of(" \t"));
    if (entry.parsed.count == 0 && !entry.parsed.bans())
      say(Severity::kWarning, "count-zero", entry, count, "the line gives everybody 0 interfaces",
          "nothing is granted, and it takes nothing from what other lines grant", "remove it");
    if (parse_decimal(count).value_or(0) > kMostPorts)
      say(Severity::kWarning, "over-machine", entry, count,
          concat("a bridge of Linux has at most ", kMostPorts, " ports"),
          "the count is taken as that", concat("write ", kMostPorts, " or less"));
  }

  // The addresses that are left for NICs.
  static std::uint32_t usable(const NetTerms& terms) {
    std::uint32_t count = 0;
    for (std::uint32_t place = 0; place < terms.addresses(); ++place)
      if (std::ranges::none_of(terms.blocks, [&](const IpNet& block) {
            const auto one = in_network(terms, block.at(place), block.prefix);
            return one.is_reserved() || is_of_another(terms, one);
          }))
        ++count;
    return count;
  }

  static IpNet in_network(const NetTerms& terms, IpNet one, std::uint8_t prefix) {
    one.prefix = prefix;
    for (const auto& gateway : terms.gateways)
      if (gateway.prefix < IpNet{}.prefix && gateway.holds(one)) one.prefix = gateway.prefix;
    return one;
  }

  static bool is_of_another(const NetTerms& terms, const IpNet& one) {
    const auto same = [&](const IpNet& other) { return other.bytes == one.bytes; };
    return std::ranges::any_of(terms.gateways, same) || std::ranges::any_of(terms.dns, same);
  }

  void check_addresses(const NetEntry& entry) const {
    const auto& terms = entry.parsed.terms;
    if (terms.blocks.empty() && (!terms.gateways.empty() || !terms.dns.empty()))
      say(Severity::kWarning, "no-addresses", entry, entry.parsed.bridge,
          "the line has gateway= or dns=, and no ip=", "userns-net gives them with an address only",
          "add ip=, or remove them");
    if (terms.blocks.empty()) return;
    if (const auto count = usable(terms); count < entry.parsed.count)
      say(Severity::kWarning, "range-small", entry, word(entry, "ip="),
          concat("the line gives ", entry.parsed.count, " interfaces and has ", count,
                 count == 1 ? " address" : " addresses"),
          "userns-net refuses more than that (NR-ADDRESS)",
          "write a larger block, a smaller count, or gateway= with the length of the network");
    for (const auto& gateway : terms.gateways) check_gateway(entry, gateway);
  }

  void check_gateway(const NetEntry& entry, const IpNet& gateway) const {
    const auto& blocks = entry.parsed.terms.blocks;
    const bool has_length = gateway.prefix < IpNet{}.prefix;
    if (std::ranges::any_of(blocks, [&](const IpNet& block) {
          return has_length ? gateway.holds(block) : block.holds(gateway);
        }))
      return;
    say(Severity::kError, "gateway-outside", entry, word(entry, "gateway="),
        concat("the gateway ", gateway.address(), " is in no network of the line's addresses"),
        "no container can reach it",
        concat("write it with the length of the network, as in gateway=", gateway.address(),
               "/24"));
  }

  // No address is given twice, so lines that share some take them from each other.
  void check_overlap(const NetEntry& entry, std::span<const NetEntry> before) const {
    for (const auto& block : entry.parsed.terms.blocks)
      for (const auto& other : before)
        for (const auto& theirs : other.parsed.terms.blocks)
          if (block.holds(theirs) || theirs.holds(block))
            return say(Severity::kWarning, "range-overlap", entry, word(entry, "ip="),
                       concat(block.text(), " and ", theirs.text(), " of ",
                              place_seen_from(other.line, entry.line), " overlap"),
                       "the users of one line use up the addresses of the other's",
                       "give each line a block of its own");
  }

  // The guard knows lines by their groups: it holds all ports of one as the strictest line wants.
  void check_group(const NetEntry& entry, std::span<const NetEntry> before) const {
    const auto group = entry.parsed.terms.group;
    if (group == kUnguardedGroup || group == kSpoofingGroup)
      say(Severity::kWarning, "group-reserved", entry, word(entry, "group="),
          concat("the guard uses the group ", group, " itself"),
          group == kUnguardedGroup ? "it leaves the line's ports alone"
                                   : "it takes the line's ports for those of spoof=allow",
          "write another number");
    const auto other = std::ranges::find_if(
        before, [&](const NetEntry& e) { return group != 0 && e.parsed.terms.group == group; });
    if (other == before.end()) return;
    say(Severity::kWarning, "group-shared", entry, word(entry, "group="),
        concat("line ", other->line.number, " has the group ", group, ", too"),
        "the guard cannot tell their ports apart, and holds all of them as the strictest of the "
        "lines wants",
        "give each line a number of its own");
  }

  void check_guard(std::span<const NetEntry> entries) const {
    std::vector<NetLine> lines;
    for (const auto& entry : entries) lines.push_back(entry.parsed);
    const auto needs = std::ranges::find_if(
        entries, [](const NetEntry& e) { return e.parsed.terms.needs_guard(); });
    if (needs == entries.end() || !facts.machine->guard_state) return;
    const auto state = facts.machine->guard_state(lines);
    const auto apply = "userns-policy guard --apply, and systemctl enable userns-net-guard";
    if (state == GuardState::kMissing)
      say(Severity::kError, "guard-missing", *needs, needs->parsed.bridge,
          "the line needs the guard, which is not loaded", "userns-net refuses it (NR-GUARD)",
          apply);
    if (state == GuardState::kOther)
      say(Severity::kWarning, "guard-old", *needs, needs->parsed.bridge,
          "the guard is loaded from other lines than these",
          "new addresses do not work, and old rates hold", apply);
  }

  void check_bridge(const NetEntry& entry) const {
    const auto& line = entry.parsed;
    const auto name = std::string(line.bridge);
    const auto bridge = facts.machine->interfaces.find(line.bridge);
    if (bridge == facts.machine->interfaces.end())
      return say(Severity::kWarning, "bridge-missing", entry, line.bridge,
                 concat("there is no interface ", name),
                 "the line gives nothing until there is (NR-BRIDGE)",
                 concat("ip link add ", name, " type bridge && ip link set ", name,
                        " up, or correct the name"));
    if (!bridge->second.is_bridge)
      return say(Severity::kError, "no-bridge", entry, line.bridge,
                 concat(name, " is an interface, but not a bridge"),
                 "userns-net refuses it (NR-BRIDGE)", "name the bridge that it is a port of");
    if (!bridge->second.up)
      say(Severity::kWarning, "bridge-down", entry, line.bridge,
          concat("the bridge ", name, " is down"), "userns-net refuses it (NR-BRIDGE)",
          concat("ip link set ", name, " up"));
    if (line.terms.vlan != 0 && !bridge->second.filters_vlans)
      say(Severity::kError, "vlan", entry, word(entry, "vlan="),
          concat("the bridge ", name, " does not filter VLANs"),
          "userns-net refuses the line (NR-VLAN)",
          concat("ip link set ", name, " type bridge vlan_filtering 1"));
    if (line.terms.mtu > bridge->second.mtu)
      say(Severity::kError, "over-machine", entry, word(entry, "mtu="),
          concat("the MTU is above the bridge's own ", bridge->second.mtu),
          "userns-net refuses the line (NR-MTU)", concat("write at most mtu=", bridge->second.mtu));
  }
};

}  // namespace

std::vector<NetEntry> net_entries(std::string_view path, std::string_view text,
                                  std::vector<Finding>* findings) {
  std::vector<NetEntry> entries;
  for (const auto& line : lines_of(text, path)) {
    const auto parsed = parse_net_conf({}, line.text);
    if (parsed && !parsed->empty())
      entries.push_back({line, parsed->front()});
    else if (!parsed && findings != nullptr)
      findings->push_back(from_parser(line, parsed.error(), {}));
  }
  return entries;
}

std::vector<NetEntry> net_entries(PolicyTexts files, std::vector<Finding>* findings) {
  std::vector<NetEntry> all;
  for (const auto& file : files)
    for (auto& entry : net_entries(file.path, file.text, findings)) all.push_back(std::move(entry));
  return all;
}

void check_net(PolicyTexts files, const HostFacts& facts, std::vector<Finding>& found) {
  const Checker checker{{found}, facts};
  std::vector<TextLine> lines;
  const auto entries = net_entries(files, &found);
  for (const auto& entry : entries) {
    check_who(PolicyFile::kNet, entry.line, entry.parsed.who, facts, found);
    checker.check_count(entry);
    checker.check_addresses(entry);
    checker.check_overlap(entry, std::span(entries).first(lines.size()));
    checker.check_group(entry, std::span(entries).first(lines.size()));
    if (facts.machine) checker.check_bridge(entry);
    lines.push_back(entry.line);
  }
  if (facts.machine) checker.check_guard(entries);
  check_duplicates(PolicyFile::kNet, lines, found);
}

}  // namespace userns::frontend
