#include "frontend/start/plan/etc_text.h"

#include <algorithm>
#include <array>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kMark = "# userns-run";

// The next word, up to a comment or the end of the line.
std::string_view next_word(std::string_view& line) {
  constexpr std::string_view kBlank = " \t\r";
  line = line.substr(0, line.find('#'));
  line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
  const auto word = line.substr(0, line.find_first_of(kBlank));
  line.remove_prefix(word.size());
  return word;
}

bool has_name(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    next_word(line);  // the address
    for (auto word = next_word(line); !word.empty(); word = next_word(line))
      if (word == name) return true;
  }
  return false;
}

std::string line_of(std::string_view address, std::string_view names) {
  return concat(address, "\t", names, "\t", kMark, "\n");
}

// Without those that an earlier start has written.
std::string others_of(std::string_view text) {
  std::string others;
  while (!text.empty()) {
    const auto line = take_until(text, '\n');
    if (!line.ends_with(kMark)) others += concat(line, "\n");
  }
  return others;
}

std::string own_lines(const HostNames& names) {
  // As Debian has it, for a name that no address is known for.
  if (names.addresses.empty()) return line_of("127.0.1.1", names.own);
  std::string lines;
  for (const auto& address : names.addresses) lines += line_of(address, names.own);
  return lines;
}

}  // namespace

std::optional<std::string> hosts_with(std::string_view present, const HostNames& names) {
  const auto others = others_of(present);
  std::string text;
  for (const auto& wish : names.added) text += line_of(wish.address, wish.name);
  text += others;
  if (!has_name(others, "localhost"))
    text +=
        line_of("127.0.0.1", "localhost") + line_of("::1", "localhost ip6-localhost ip6-loopback");
  const bool is_named = names.own.empty() || names.own == "localhost" ||
                        has_name(others, names.own) || has_name(text, names.own);
  if (!is_named) text += own_lines(names);
  if (text == present) return std::nullopt;
  return text;
}

std::string zone_of_link(std::string_view target) {
  constexpr std::string_view kDirectory = "zoneinfo/";
  const auto at = target.find(kDirectory);
  return at == std::string_view::npos ? std::string{}
                                      : std::string(target.substr(at + kDirectory.size()));
}

namespace {

constexpr std::size_t kLongestUser = 32;  // useradd(8)

bool can_stand_in_a_line(const UserWish& user) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  return !user.name.empty() && user.name.size() <= kLongestUser && user.name.front() != '-' &&
         user.name.find_first_not_of(kLetters) == std::string::npos &&
         concat(user.home, user.shell).find_first_of(":\n") == std::string::npos;
}

// Of files whose third word is the id.
bool has_entry(std::string_view text, const UserWish& user) {
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    const auto name = take_until(line, ':');
    take_until(line, ':');
    if (name == user.name || parse_decimal(take_until(line, ':')) == user.id) return true;
  }
  return false;
}

std::optional<std::string> with_line(std::string_view present, const UserWish& user,
                                     const std::string& line) {
  if (!can_stand_in_a_line(user) || has_entry(present, user)) return std::nullopt;
  const bool whole = present.empty() || present.ends_with('\n');
  return concat(present, whole ? "" : "\n", line, "\n");
}

}  // namespace

std::optional<std::string> passwd_with(std::string_view present, const UserWish& user) {
  return with_line(
      present, user,
      concat(user.name, ":x:", user.id, ":", user.id, "::", user.home, ":", user.shell));
}

std::optional<std::string> group_with(std::string_view present, const UserWish& user) {
  return with_line(present, user, concat(user.name, ":x:", user.id, ":"));
}

bool is_utc_link(std::string_view target) {
  constexpr std::array<std::string_view, 12> kNames{
      "UTC",     "UCT",     "Zulu",     "Universal",     "GMT",       "Etc/UTC",
      "Etc/UCT", "Etc/GMT", "Etc/Zulu", "Etc/Universal", "Etc/GMT+0", "Etc/Greenwich"};
  return std::ranges::find(kNames, zone_of_link(target)) != kNames.end();
}

// tzfile(5): the last line is the rule for the time after the last entry, "CET-1CEST,...".
bool is_utc_data(std::string_view data) {
  return data.ends_with("\nUTC0\n") || data.ends_with("\nGMT0\n");
}

bool only_loopback_resolvers(std::string_view text) {
  bool any = false;
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    if (next_word(line) != "nameserver") continue;
    const auto address = next_word(line);
    if (!address.starts_with("127.") && address != "::1") return false;
    any = true;
  }
  return any;
}

}  // namespace userns::frontend
