#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/change.h"
#include "frontend/policy_tool/check/conf_edit.h"
#include "policy/cgroup_conf.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

struct CgroupPlace {
  std::optional<CgroupEntry> line;  // the one that decides for `who`
  Place at;                         // of it
  Place before;                     // where a new one would go
};
Result<CgroupPlace> find_place(PolicyTexts files, Who who) {
  TRY(check_well_formed(files));
  const bool is_user = !who.front().starts_with('@') && who.front() != "*";
  CgroupPlace place;
  place.before.file = is_user ? 0 : files.size() - 1;
  for (auto& entry : cgroup_entries(files, nullptr).lines) {
    const std::string_view other = entry.parsed.who;
    const auto at = place_of(files, entry.line);
    if (!place.line && contains(who, other)) place.line = entry, place.at = at;
    const bool is_wider = other == "*" || (other.starts_with('@') && !who.front().starts_with('@'));
    if (place.before.line == 0 && is_wider && who.front() != "*") place.before = at;
  }
  return place;
}

// Whether a word of a line sets the same as `key`: for io.max, of the same device.
bool sets(std::string_view word, std::string_view key, std::string_view value) {
  auto other = word;
  if (take_until(other, '=') != key) return false;
  return key != "io.max" || other.substr(0, other.find(',')) == value.substr(0, value.find(','));
}

// The entry with one word changed (`to`), or taken away with the blanks before it.
std::string with_word(std::string_view entry, std::string_view word, std::string_view to) {
  const auto at = static_cast<std::size_t>(word.data() - entry.data());
  const auto head =
      to.empty() ? entry.substr(0, entry.find_last_not_of(" \t", at - 1) + 1) : entry.substr(0, at);
  return concat(head, to, entry.substr(at + word.size()));
}

}  // namespace

std::vector<std::string> settings_not_in(std::string_view line,
                                         std::span<const std::string> wanted) {
  std::vector<std::string> others;
  const auto words = words_of(parts_of(line, false).entry);
  for (const auto word : words) {
    const auto key = key_of(word);
    const bool is_wanted =
        key == "io.max"  // one for each device
            ? contains(wanted, word)
            : contains(wanted, key, [](std::string_view w) { return key_of(w); });
    if (word.contains('=') && !is_wanted) others.emplace_back(key);
  }
  return others;
}

Result<void> grant_cgroup(ChangedTexts files, Who who, std::span<const std::string> settings) {
  const auto place = TRY(find_place(files, who));
  std::string entry =
      place.line ? std::string(parts_of(place.line->line.text, false).entry) : who.front();
  for (const std::string_view setting : settings) {
    auto value = setting;
    const auto key = take_until(value, '=');
    if (!setting.contains('='))
      return fail({}, concat("--cgroup ", quoted(setting),
                             " has no value: write KEY=VALUE, as in cgroup.conf(5)"));
    const auto parsed = parse_setting(key, value);
    if (!parsed || setting.find_first_of(" \t#\n") != std::string_view::npos)
      return fail({}, concat("--cgroup ", quoted(setting), ": ",
                             parsed ? "blanks are not taken" : parsed.error().text));
    const auto words = words_of(entry);
    const auto old =
        std::ranges::find_if(words, [&](std::string_view word) { return sets(word, key, value); });
    entry = old == words.end() ? concat(entry, " ", setting) : with_word(entry, *old, setting);
  }
  auto changed = copies(files);
  if (!place.line) {
    insert_line(changed, place.before, entry);
    return put(files, std::move(changed));
  }
  const auto line = concat(entry, parts_of(place.line->line.text, false).rest);
  const bool is_hidden = place.before.line != 0 && place.before < place.at;
  change_line(changed, place.at, is_hidden ? std::string{} : line);
  // A group's line, or everybody's, stands before it and decides for its members.
  if (is_hidden) insert_line(changed, place.before, line);
  return put(files, std::move(changed));
}

Result<void> revoke_cgroup(ChangedTexts files, Who who, std::span<const std::string> keys) {
  for (const std::string_view key : keys)
    if (const auto known = parse_setting(key.substr(0, key.find('=')), "max");
        key != "all" && !known && known.error().rule == "CC-KEY")
      return fail({}, concat("--cgroup ", quoted(key), " is not a key of cgroup.conf(5), nor all"));
  const auto place = TRY(find_place(files, who));
  if (!place.line) return {};
  const auto& line = place.line->line;
  std::string entry(parts_of(line.text, false).entry);
  for (const std::string_view key : keys)
    for (auto words = words_of(entry);; words = words_of(entry)) {
      const auto settings = std::span(words).subspan(1);
      const auto old = std::ranges::find_if(settings, [&](std::string_view word) {
        return key == "all" || word.substr(0, word.find('=')) == key.substr(0, key.find('='));
      });
      if (old == settings.end()) break;
      entry = with_word(entry, *old, {});
    }
  const bool is_empty = words_of(entry).size() < 2;
  auto changed = copies(files);
  change_line(changed, place.at, is_empty ? "" : concat(entry, parts_of(line.text, false).rest));
  return put(files, std::move(changed));
}

}  // namespace userns::frontend
