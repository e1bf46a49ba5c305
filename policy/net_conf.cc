#include "policy/net_conf.h"

#include <algorithm>
#include <array>
#include <utility>

#include "policy/conf_line.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

struct Setting {
  std::string_view key, values;  // `values`: for the message
  bool (*set)(NetTerms&, std::string_view value);
};
bool set_number(std::uint16_t& where, std::string_view value, std::uint64_t least,
                std::uint64_t most) {
  const auto number = parse_decimal(value).value_or(0);
  where = static_cast<std::uint16_t>(number);
  return number >= least && number <= most;
}
bool set_flag(bool& where, std::string_view value, std::string_view yes, std::string_view no) {
  where = value == yes;
  return where || value == no;
}
constexpr std::size_t kMostServers = 3;  // resolv.conf(5) has no more
bool set_nets(std::vector<IpNet>& where, std::string_view value, std::size_t most) {
  const bool ends_open = value.ends_with(',');
  while (!value.empty()) {
    const auto net = IpNet::parse(take_until(value, ','));
    if (!net) return false;
    where.push_back(*net);
  }
  return !ends_open && !where.empty() && where.size() <= most;
}
bool set_blocks(NetTerms& terms, std::string_view value) {
  auto& blocks = terms.blocks;
  const auto begins = [](const IpNet& b) { return b.ends_in(false); };
  if (!set_nets(blocks, value, 2) || !std::ranges::all_of(blocks, begins)) return false;
  if (!blocks.front().is_v4()) std::ranges::reverse(blocks);
  return blocks.size() == 1 || blocks.front().is_v4() != blocks.back().is_v4();
}
bool set_guard(NetTerms& terms, std::string_view value) {
  using enum NetTerms::Guard;
  terms.guard = value == "yes" ? kYes : kNo;
  return value == "yes" || value == "no";
}
bool set_group(NetTerms& terms, std::string_view value) {
  const auto number = parse_decimal(value).value_or(0);
  terms.group = static_cast<std::uint32_t>(number);
  return number >= 1 && number <= 0x7fffffff;
}
bool set_rate(NetTerms& terms, std::string_view value) {
  const auto unit = value.find_first_not_of("0123456789");
  const auto digits = value.substr(0, unit), word = value.substr(std::min(unit, value.size()));
  const std::uint64_t bits = word == "kbit" ? 1000 : word == "mbit" ? 1000'000 : 1000'000'000;
  const auto number = parse_decimal(digits).value_or(0);
  terms.rate = number * bits / 8;
  return (word == "kbit" || word == "mbit" || word == "gbit") && number >= 1 && number <= 100'000;
}
bool set_tagged(NetTerms& terms, std::string_view value) {
  bool good = !value.empty() && !value.ends_with(',');
  while (good && !value.empty())
    good = set_number(terms.tagged.emplace_back(), take_until(value, ','), 1, 4094);
  return good && terms.tagged.size() <= 16;
}
bool set_salt(NetTerms& terms, std::string_view value) {
  terms.salt = value;
  return !value.empty() && is_plain_word(value, 64);
}
constexpr std::array kSettings{
    Setting{"mtu", "68 to 65535",
            [](NetTerms& t, std::string_view v) { return set_number(t.mtu, v, 68, 65535); }},
    Setting{"vlan", "1 to 4094",
            [](NetTerms& t, std::string_view v) { return set_number(t.vlan, v, 1, 4094); }},
    Setting{"isolated", "yes or no",
            [](NetTerms& t, std::string_view v) { return set_flag(t.isolated, v, "yes", "no"); }},
    Setting{"spoof", "allow or deny",
            [](NetTerms& t, std::string_view v) { return set_flag(t.spoof, v, "allow", "deny"); }},
    Setting{"mac", "any or own",
            [](NetTerms& t, std::string_view v) { return set_flag(t.any_mac, v, "any", "own"); }},
    Setting{"ip", "a block of IPv4 addresses, of IPv6 addresses, or both: 10.9.0.16/28,fd00::/120",
            set_blocks},
    Setting{"gateway", "one or two addresses, with the lengths of their networks: 10.9.0.1/24",
            [](NetTerms& t, std::string_view v) { return set_nets(t.gateways, v, 2); }},
    Setting{"dns", "one to three addresses",
            [](NetTerms& t, std::string_view v) { return set_nets(t.dns, v, kMostServers); }},
    Setting{"guard", "yes or no", set_guard},
    Setting{"group", "1 to 2147483647", set_group},
    Setting{"rate", "1 to 100000 kbit, mbit or gbit, as in 100mbit", set_rate},
    Setting{"tagged", "one to 16 VLANs of 1 to 4094", set_tagged},
    Setting{"macs", "1 to 15",
            [](NetTerms& t, std::string_view v) { return set_number(t.macs, v, 1, kMostMacs); }},
    Setting{"salt", "1 to 64 letters, digits, '-', '_' and '.'", set_salt},
};

std::string all_settings() {
  std::string names;
  for (const auto& setting : kSettings) names += concat(" ", setting.key, "=");
  return names;
}

Result<void> take_setting(NetLine& taken, std::array<bool, kSettings.size()>& seen,
                          const ConfLine& line, std::string_view word) {
  auto value = word;
  const auto key = take_until(value, '=');
  const auto setting = std::ranges::find(kSettings, key, &Setting::key);
  if (setting == kSettings.end() || !word.contains('='))
    return line.refuse("NC-LINE", word, concat(quoted(word), " is not a setting:", all_settings()));
  if (std::exchange(seen[static_cast<std::size_t>(setting - kSettings.begin())], true))
    return line.refuse("NC-LINE", word, concat(key, "= is given twice"));
  if (!setting->set(taken.terms, value))
    return line.refuse("NC-LINE", word,
                       concat(key, "=", quoted(value), " is not ", setting->values));
  return {};
}

Result<NetLine> take_line(std::string_view who, ConfLine& line) {
  if (who == "@") return line.refuse("NC-LINE", who, "'@' needs the name of a group");
  const auto type = line.next(), bridge = line.next(), digits = line.next();
  if (type != "veth")
    return line.refuse("NC-LINE", type,
                       concat("the type is ", quoted(type), "; only veth is supported"));
  if (!is_interface_name(bridge))
    return line.refuse("NC-LINE", bridge, concat(quoted(bridge), " is not a name of a bridge"));
  const auto count = parse_decimal(digits);
  if (!count)
    return line.refuse("NC-LINE", digits,
                       concat("the count ", quoted(digits), " ", why_not_decimal(digits)));
  NetLine taken{.who = who, .bridge = bridge, .count = 0, .terms = {}};
  taken.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(*count, kMostPorts));
  std::array<bool, kSettings.size()> seen{};
  for (auto word = line.next(); !word.empty(); word = line.next())
    TRY(take_setting(taken, seen, line, word));
  const auto& terms = taken.terms;
  // The address of such a NIC is computed from its IP address, and is all that its port may send.
  if (!terms.blocks.empty() && (terms.spoof || terms.any_mac || terms.macs != 0))
    return line.refuse("NC-LINE", bridge,
                       "ip= goes with spoof=deny and mac=own only, without macs=");
  // The guard tells ports with rate= and tagged= from others by their group.
  if ((terms.rate != 0 || !terms.tagged.empty()) &&
      (terms.group == 0 || terms.guard == NetTerms::Guard::kNo))
    return line.refuse("NC-LINE", bridge,
                       "rate= and tagged= need a group= of the line's own, and not guard=no");
  return taken;
}

}  // namespace

std::uint32_t NetTerms::addresses() const {
  return blocks.empty() ? 0 : std::ranges::min(blocks.front().size(), blocks.back().size());
}

bool NetTerms::needs_guard() const {
  return guard == Guard::kYes || rate != 0 || (guard == Guard::kAsNeeded && !blocks.empty());
}

std::uint32_t NetTerms::port_group() const {
  if (group != 0) return group;
  return guard == Guard::kNo ? kUnguardedGroup : spoof ? kSpoofingGroup : 0;
}

bool is_interface_name(std::string_view text) {
  return !text.empty() && text.front() != '-' && text.front() != '.' && is_plain_word(text, 15);
}

Result<void> add_net_conf(std::vector<NetLine>& lines, std::string_view path,
                          std::string_view text) {
  const auto take = [&](std::string_view who, ConfLine& words) -> Result<void> {
    lines.push_back(TRY(take_line(who, words)));
    return {};
  };
  return each_conf_line(path, text, "NC-LINE", take);
}

Result<std::vector<NetLine>> parse_net_conf(std::string_view path, std::string_view text) {
  std::vector<NetLine> lines;
  const auto read = add_net_conf(lines, path, text);
  return read ? Result<std::vector<NetLine>>(std::move(lines)) : std::unexpected(read.error());
}

}  // namespace userns
