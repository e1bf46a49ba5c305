#include "policy/net_conf.h"

#include <algorithm>
#include <array>
#include <utility>

#include "policy/conf_line.h"
#include "policy/text.h"

namespace userns {
namespace {

constexpr std::string_view kWordCharacters =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.";

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
};

Result<void> take_setting(NetLine& taken, std::array<bool, kSettings.size()>& seen,
                          const ConfLine& line, std::string_view word) {
  auto value = word;
  const auto key = take_until(value, '=');
  const auto setting = std::ranges::find(kSettings, key, &Setting::key);
  if (setting == kSettings.end() || !word.contains('='))
    return line.refuse("NC-LINE", word,
                       concat(quoted(word), " is not a setting: mtu= vlan= isolated= spoof= mac="));
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
    if (const auto set = take_setting(taken, seen, line, word); !set)
      return std::unexpected(set.error());
  return taken;
}

}  // namespace

bool is_interface_name(std::string_view text) {
  return !text.empty() && text.front() != '-' && text.front() != '.' && is_plain_word(text, 15);
}

bool is_plain_word(std::string_view text, std::size_t longest) {
  return text.size() <= longest &&
         text.find_first_not_of(kWordCharacters) == std::string_view::npos;
}

Result<std::vector<NetLine>> parse_net_conf(std::string_view path, std::string_view text) {
  std::vector<NetLine> lines;
  const auto take = [&](std::string_view who, ConfLine& words) -> Result<void> {
    const auto line = take_line(who, words);
    if (!line) return std::unexpected(line.error());
    lines.push_back(*line);
    return {};
  };
  const auto read = each_conf_line(path, text, "NC-LINE", take);
  return read ? Result<std::vector<NetLine>>(std::move(lines)) : std::unexpected(read.error());
}

}  // namespace userns
