#include "policy/names.h"

#include <algorithm>

#include "policy/ids.h"
#include "policy/text.h"

namespace userns {
namespace {

constexpr std::string_view kSpace = " \t\r\f\v", kBehindName = " \t\r\f\v:";

std::string_view trimmed(std::string_view text, std::string_view of = kSpace) {
  return text.substr(std::min(text.find_first_not_of(of), text.size()));
}

std::optional<NameEntry> parse_entry(std::string_view line, std::size_t fields) {
  constexpr std::string_view kNoNames = "+-# \t";
  if (static_cast<std::size_t>(std::ranges::count(line, ':')) + 1 != fields) return std::nullopt;
  const auto name = take_until(line, ':');
  take_until(line, ':');
  const auto id = parse_decimal(take_until(line, ':'));
  const auto group = fields == kPasswdFields ? parse_decimal(take_until(line, ':')) : 0;
  if (name.empty() || kNoNames.contains(name.front()) || id > kLargestId || group > kLargestId ||
      !id || !group)
    return std::nullopt;
  return NameEntry{name, static_cast<std::uint32_t>(*id), static_cast<std::uint32_t>(*group)};
}

}  // namespace

std::string_view nss_words(std::string_view nsswitch_conf, std::string_view key) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; };
  while (!nsswitch_conf.empty()) {
    auto line = take_until(nsswitch_conf, '\n');
    line = line.substr(0, line.find('#'));
    // The C library takes " passwd files", too; libsubid, whose key has a colon, nothing of the
    // kind.
    const bool is_loose = !key.ends_with(':');
    if (is_loose) line = trimmed(line);
    if (!std::ranges::equal(line.substr(0, key.size()), key, same)) continue;
    line.remove_prefix(key.size());
    if (is_loose && !line.empty() && !kBehindName.contains(line.front())) continue;
    line = trimmed(line, is_loose ? kBehindName : kSpace);
    if (!line.empty()) return line;
  }
  return {};
}

NameSource name_source(std::string_view nsswitch_conf, std::string_view database) {
  const auto words = nss_words(nsswitch_conf, database);
  const auto first = words.substr(0, words.find_first_of(kSpace));
  const auto rest = trimmed(words.substr(first.size()));
  // Of two lines the C library takes the first or the last, as its version is.
  const auto behind = static_cast<std::size_t>(words.data() - nsswitch_conf.data()) + words.size();
  if (words.empty() || !nss_words(nsswitch_conf.substr(behind), database).empty())
    return NameSource::kOthers;
  // "[SUCCESS=continue]" would ask on.
  if (first != "files" || rest.starts_with('[')) return NameSource::kOthers;
  return rest.empty() ? NameSource::kFilesAlone : NameSource::kFilesFirst;
}

std::optional<NameEntry> find_entry(std::string_view text, std::size_t fields,
                                    const std::function<bool(const NameEntry&)>& wanted) {
  while (!text.empty())
    if (const auto entry = parse_entry(take_until(text, '\n'), fields); entry && wanted(*entry))
      return entry;
  return std::nullopt;
}

}  // namespace userns
