#include "policy/net_conf.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "policy/text.h"

namespace userns {
namespace {

constexpr std::string_view kWordCharacters =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.";

// The words of a line, and where each begins.
struct Words {
  std::string_view line;
  std::size_t began = 0, end = 0;

  std::string_view next() {
    began = std::min(line.find_first_not_of(" \t", end), line.size());
    end = std::min(line.find_first_of(" \t", began), line.size());
    if (began < line.size() && line[began] == '#') end = line.size();
    return began < line.size() && line[began] != '#' ? line.substr(began, end - began)
                                                     : std::string_view{};
  }
};

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

Result<void> parse_setting(NetTerms& terms, std::array<bool, kSettings.size()>& seen,
                           std::string_view word) {
  auto value = word;
  const auto key = take_until(value, '=');
  const auto setting = std::ranges::find(kSettings, key, &Setting::key);
  if (setting == kSettings.end() || !word.contains('='))
    return fail("NC-LINE",
                concat(quoted(word), " is no setting: mtu= vlan= isolated= spoof= mac= are known"));
  if (std::exchange(seen[static_cast<std::size_t>(setting - kSettings.begin())], true))
    return fail("NC-LINE", concat(key, "= is given twice"));
  if (!setting->set(terms, value))
    return fail("NC-LINE", concat(key, "=", quoted(value), " is not ", setting->values));
  return {};
}

// `first` is the line's first word; on failure `words` stands at the word that is wrong.
Result<NetLine> parse_entry(std::string_view first, Words& words) {
  NetLine line{.who = first, .bridge = {}, .count = 0, .terms = {}};
  if (first == "@") return fail("NC-LINE", "'@' needs the name of a group");
  if (const auto type = words.next(); type != "veth")
    return fail("NC-LINE", concat("the type is ", quoted(type), "; only veth is supported"));
  line.bridge = words.next();
  if (!is_interface_name(line.bridge))
    return fail("NC-LINE", concat(quoted(line.bridge), " is no name of a bridge"));
  const auto digits = words.next();
  const auto count = parse_decimal(digits);
  if (!count)
    return fail("NC-LINE", concat("the count ", quoted(digits), " ", why_not_decimal(digits)));
  line.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(*count, kMostPorts));
  std::array<bool, kSettings.size()> seen{};
  for (auto word = words.next(); !word.empty(); word = words.next())
    if (const auto set = parse_setting(line.terms, seen, word); !set)
      return std::unexpected(set.error());
  return line;
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
  for (std::size_t number = 1; !text.empty(); ++number) {
    Words words{.line = take_until(text, '\n')};
    const auto wrong = [&](std::size_t at, std::string_view why) {
      return fail("NC-LINE", concat(path, ":", number, ":", at + 1, ": ", why));
    };
    const auto odd = std::ranges::find_if(
        words.line, [](char c) { return (c < ' ' && c != '\t' && c >= 0) || c == 127; });
    if (odd != words.line.end())
      return wrong(static_cast<std::size_t>(odd - words.line.begin()),
                   "a control character (a DOS line end?)");
    const auto first = words.next();
    if (first.empty()) continue;
    const auto line = parse_entry(first, words);
    if (!line) return wrong(words.began, line.error().text);
    lines.push_back(*line);
  }
  return lines;
}

}  // namespace userns
