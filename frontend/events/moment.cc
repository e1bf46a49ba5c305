#include "frontend/events/moment.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <optional>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::int64_t kSecond = 1000;
constexpr std::size_t kLongest = 64;

std::int64_t unit_of(char letter) {
  switch (letter) {
    case 's':
      return kSecond;
    case 'm':
      return 60 * kSecond;
    case 'h':
      return 3600 * kSecond;
    case 'd':
      return 86400 * kSecond;
    default:
      return 0;
  }
}

// "1h30m"
std::optional<std::int64_t> parse_span(std::string_view text) {
  constexpr std::uint64_t kMost = 100'000'000;
  std::int64_t sum = 0;
  while (!text.empty()) {
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = parse_decimal(text.substr(0, digits));
    const auto unit = digits < text.size() ? unit_of(text[digits]) : 0;
    if (!number || *number > kMost || unit == 0) return std::nullopt;
    sum += static_cast<std::int64_t>(*number) * unit;
    text.remove_prefix(digits + 1);
  }
  return sum;
}

// "Z", "+01:00"; in seconds.
std::optional<std::int64_t> parse_zone(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  std::int64_t parts[2];
  for (std::size_t i = 0; i < 2; ++i) {
    const char tens = text[1 + 3 * i];
    const char ones = text[2 + 3 * i];
    if (tens < '0' || tens > '5' || ones < '0' || ones > '9') return std::nullopt;
    parts[i] = std::int64_t{tens - '0'} * 10 + (ones - '0');
  }
  const auto seconds = parts[0] * 3600 + parts[1] * 60;
  return text[0] == '-' ? -seconds : seconds;
}

// ".123"; what is finer is dropped.
std::int64_t take_fraction(std::string_view& text) {
  if (!text.starts_with('.')) return 0;
  text.remove_prefix(1);
  std::int64_t ms = 0;
  for (std::int64_t place = 100; !text.empty() && text[0] >= '0' && text[0] <= '9'; place /= 10) {
    ms += (text[0] - '0') * place;
    text.remove_prefix(1);
  }
  return ms;
}

std::optional<std::int64_t> parse_date(std::string text) {
  if (text.size() > 10 && text[10] == 'T') text[10] = ' ';
  for (const char* const form : {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
    std::tm when{};
    when.tm_isdst = -1;
    const char* const end = ::strptime(text.c_str(), form, &when);
    if (end == nullptr) continue;
    std::string_view rest(end);
    const auto ms = take_fraction(rest);
    if (rest.empty()) return static_cast<std::int64_t>(std::mktime(&when)) * kSecond + ms;
    if (const auto zone = parse_zone(rest))
      return (static_cast<std::int64_t>(::timegm(&when)) - *zone) * kSecond + ms;
  }
  return std::nullopt;
}

}  // namespace

Result<std::int64_t> parse_moment(std::string_view text, std::int64_t now) {
  constexpr std::uint64_t kLastSecond = 253'402'300'799;  // of the year 9999
  const auto seconds = parse_decimal(text);
  if (seconds && *seconds <= kLastSecond) return static_cast<std::int64_t>(*seconds) * kSecond;
  if (!text.empty() && text.size() <= kLongest) {
    if (const auto ago = parse_span(text)) return now - *ago;
    if (const auto date = parse_date(std::string(text))) return *date;
  }
  return fail({}, concat(quoted(text),
                         " is not a time: write 30m, 2h, 7d, 2026-11-30 or \"2026-11-30 14:00\""));
}

std::string moment_text(std::int64_t milliseconds) {
  auto seconds = static_cast<std::time_t>(milliseconds / kSecond);
  auto ms = milliseconds % kSecond;
  if (ms < 0) ms += kSecond, --seconds;
  std::tm parts{};
  std::array<char, 32> date{};
  std::array<char, 8> zone{};
  if (::localtime_r(&seconds, &parts) == nullptr) return concat(milliseconds);
  (void)std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  (void)std::strftime(zone.data(), zone.size(), "%z", &parts);
  const std::string_view offset(zone.data());
  return concat(std::string_view(date.data()), ".", ms < 100 ? "0" : "", ms < 10 ? "0" : "", ms,
                offset.substr(0, 3), ":", offset.substr(std::min<std::size_t>(3, offset.size())));
}

}  // namespace userns::frontend
