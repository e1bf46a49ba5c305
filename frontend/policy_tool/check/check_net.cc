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
  for (const auto& line : lines_of(text)) {
    const auto parsed = parse_net_conf({}, line.text);
    if (parsed && !parsed->empty())
      entries.push_back({line, parsed->front()});
    else if (!parsed && findings != nullptr)
      findings->push_back(from_parser(path, line, parsed.error(), {}));
  }
  return entries;
}

void check_net(const PolicyText& file, const HostFacts& facts, std::vector<Finding>& found) {
  const Checker checker{{file, found}, facts};
  std::vector<TextLine> lines;
  for (const auto& entry : net_entries(file.path, file.text, &found)) {
    check_who(file, entry.line, entry.parsed.who, facts, found);
    checker.check_count(entry);
    if (facts.machine) checker.check_bridge(entry);
    lines.push_back(entry.line);
  }
  check_duplicates(file, lines, found);
}

}  // namespace userns::frontend
