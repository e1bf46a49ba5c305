#include "frontend/policy_tool/check/change.h"

#include <algorithm>
#include <vector>

#include "frontend/policy_tool/check/checks.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// What stands before a comment, without the blanks at its end; and the rest.
struct Parts {
  std::string_view entry, rest;
};
Parts parts_of(std::string_view line, bool comment_begins_a_word) {
  auto at = line.find('#');
  while (comment_begins_a_word && at != std::string_view::npos && at > 0 && line[at - 1] != ' ' &&
         line[at - 1] != '\t')
    at = line.find('#', at + 1);
  auto entry = line.substr(0, at);
  entry = entry.substr(0, entry.find_last_not_of(" \t") + 1);
  return {entry, line.substr(entry.size())};
}

// `text` with the line of this number made `line`, or taken away where it is empty.
std::string with_line(std::string_view text, std::size_t number, std::string_view line) {
  std::string out;
  std::size_t at = 0;
  for (auto rest = text; !rest.empty();) {
    const auto length = std::min(rest.find('\n'), rest.size() - 1) + 1;
    if (++at != number)
      out += rest.substr(0, length);
    else if (!line.empty())
      out += concat(line, rest.substr(0, length).ends_with('\n') ? "\n" : "");
    rest.remove_prefix(length);
  }
  return out;
}

// A new line before the one of this number, or at the end (0).
std::string with_new_line(std::string_view text, std::size_t before, std::string_view line) {
  std::string out;
  std::size_t at = 0;
  for (auto rest = text; !rest.empty();) {
    const auto length = std::min(rest.find('\n'), rest.size() - 1) + 1;
    if (++at == before) out += concat(line, "\n");
    out += rest.substr(0, length);
    rest.remove_prefix(length);
  }
  if (before == 0) out += concat(out.empty() || out.ends_with('\n') ? "" : "\n", line, "\n");
  return out;
}

bool same_terms(const NetTerms& a, const NetTerms& b) {
  return a.mtu == b.mtu && a.vlan == b.vlan && a.isolated == b.isolated && a.spoof == b.spoof &&
         a.any_mac == b.any_mac;
}

std::unexpected<Error> refuse_malformed(const Error& error, std::string_view file) {
  return fail(error.rule, concat("the file is malformed and stays as it is: ", error.text,
                                 "; mend it first: userns-policy edit ", file));
}

// For a comment: a path is any bytes but NUL.
std::string shown_path(std::string_view path) {
  const bool plain =
      std::ranges::none_of(path, [](char c) { return (c >= 0 && c < ' ') || c == 127; });
  return plain ? std::string(path) : quoted(path);
}

// The user's lines for a bridge.
Result<std::vector<NetEntry>> lines_for(std::string_view text, Who who, std::string_view bridge) {
  const auto whole = parse_net_conf("net.conf", text);
  if (!whole) return refuse_malformed(whole.error(), "net.conf");
  auto entries = net_entries({}, text, nullptr);
  std::erase_if(entries, [&](const NetEntry& e) {
    return e.parsed.bridge != bridge || !contains(who, e.parsed.who);
  });
  return entries;
}

struct CgroupPlace {
  std::optional<CgroupEntry> line;  // the one that decides for `who`
  std::size_t before = 0;           // where a new one would go
};
Result<CgroupPlace> place_of(std::string_view text, Who who) {
  const auto whole = parse_cgroup_conf(text, "cgroup.conf");
  if (!whole) return refuse_malformed(whole.error(), "cgroup.conf");
  CgroupPlace place;
  for (auto& entry : cgroup_entries({}, text, nullptr).lines) {
    const std::string_view other = entry.parsed.who;
    if (!place.line && contains(who, other)) place.line = entry;
    const bool is_wider = other == "*" || (other.starts_with('@') && !who.front().starts_with('@'));
    if (place.before == 0 && is_wider && who.front() != "*") place.before = entry.line.number;
  }
  return place;
}

// Whether a word of a line sets the same as `key`: for io.max, of the same device.
bool sets(std::string_view word, std::string_view key, std::string_view value) {
  auto other = word;
  if (take_until(other, '=') != key) return false;
  return key != "io.max" || other.substr(0, other.find(',')) == value.substr(0, value.find(','));
}

std::vector<std::string_view> words_of(std::string_view entry) {
  std::vector<std::string_view> words;
  while (!entry.empty()) {
    const auto word = entry.substr(0, entry.find_first_of(" \t"));
    if (!word.empty()) words.push_back(word);
    entry.remove_prefix(std::min(word.size() + 1, entry.size()));
  }
  return words;
}

// The entry with one word changed (`to`), or taken away with the blanks before it.
std::string with_word(std::string_view entry, std::string_view word, std::string_view to) {
  const auto at = static_cast<std::size_t>(word.data() - entry.data());
  const auto head =
      to.empty() ? entry.substr(0, entry.find_last_not_of(" \t", at - 1) + 1) : entry.substr(0, at);
  return concat(head, to, entry.substr(at + word.size()));
}

Result<std::string> checked_net(std::string text) {
  const auto parsed = parse_net_conf("net.conf", text);
  return parsed ? Result<std::string>(std::move(text)) : std::unexpected(parsed.error());
}
Result<std::string> checked_cgroup(std::string text) {
  const auto parsed = parse_cgroup_conf(text, "cgroup.conf");
  return parsed ? Result<std::string>(std::move(text)) : std::unexpected(parsed.error());
}

std::unexpected<Error> no_bridge(std::string_view wish, std::string_view bridge) {
  return fail({}, concat("--net ", quoted(wish), ": ", bridge == wish ? "that" : quoted(bridge),
                         " is no name of a bridge"));
}

}  // namespace

namespace {

// "WHO  veth  BRIDGE  COUNT  key=value ..."
std::string net_line(std::string_view who, std::string_view bridge, std::string_view count,
                     std::span<const std::string_view> settings) {
  std::string line = concat(who, "  veth  ", bridge, "  ", count, settings.empty() ? "" : " ");
  for (const auto setting : settings) line += concat(" ", setting);
  return line;
}

std::string_view key_of(std::string_view setting) { return setting.substr(0, setting.find('=')); }

// The settings of a line, with those of the same key replaced by `named` and the others of it
// added.
std::vector<std::string_view> merged_settings(const NetEntry& old,
                                              std::span<const std::string_view> named) {
  auto settings = words_of(parts_of(old.line.text, true).entry);
  settings.erase(settings.begin(),
                 settings.begin() + std::min<std::ptrdiff_t>(4, std::ssize(settings)));
  for (const auto setting : named) {
    const auto same = std::ranges::find(settings, key_of(setting), key_of);
    if (same == settings.end())
      settings.push_back(setting);
    else
      *same = setting;
  }
  return settings;
}

}  // namespace

Result<std::string> grant_net(std::string_view text, Who who, std::string_view wish) {
  auto rest = wish;
  auto count = take_until(rest, ',');
  const auto bridge = take_until(count, ':');
  if (!is_interface_name(bridge)) return no_bridge(wish, bridge);
  std::vector<std::string_view> settings;
  while (!rest.empty()) settings.push_back(take_until(rest, ','));
  const auto line = net_line(who.front(), bridge, count, settings);
  const auto parsed = parse_net_conf({}, line);
  if (!parsed || parsed->size() != 1 || count.empty() ||
      wish.find_first_of(" \t\n#") != std::string_view::npos)
    return fail({}, concat("--net ", quoted(wish), " is not BRIDGE:COUNT[,key=value...]",
                           parsed ? ""
                                  : concat(": ", parsed.error().text.substr(
                                                     parsed.error().text.find(' ') + 1))));
  if (parsed->front().count == 0 && who.front() == "*")
    return fail({},
                concat("--net ", quoted(wish),
                       " gives nobody anything and bans nobody: userns-policy revoke '*' --net ",
                       bridge, " takes away what everybody has"));
  const auto lines = lines_for(text, who, bridge);
  if (!lines) return std::unexpected(lines.error());
  if (lines->size() > 1)
    return fail({}, concat(who.front(), " has ", lines->size(), " lines for ", bridge,
                           ", which add up: userns-policy edit net.conf"));
  if (lines->empty()) return checked_net(with_new_line(text, 0, line));
  const auto& old = lines->front();
  const auto merged = net_line(who.front(), bridge, count, merged_settings(old, settings));
  const auto after = parse_net_conf({}, merged);
  if (!after || after->size() != 1)
    return fail({}, concat("--net ", quoted(wish), " does not go with ", quoted(old.line.text)));
  if (old.parsed.count == after->front().count &&
      same_terms(old.parsed.terms, after->front().terms))
    return std::string(text);
  return checked_net(
      with_line(text, old.line.number, concat(merged, parts_of(old.line.text, true).rest)));
}

Result<std::string> set_net(std::string_view text, Who who, std::string_view wish) {
  const auto bridge = wish.substr(0, wish.find(':'));
  const auto bare = revoke_net(text, who, bridge);
  if (!bare) return bare;
  auto fresh = grant_net(*bare, who, wish);
  const auto lines = lines_for(text, who, bridge);
  if (!fresh || !lines || lines->size() != 1) return fresh;
  const auto wanted = net_entries({}, *fresh, nullptr).back().parsed;
  const auto& there = lines->front().parsed;
  const bool is_there = there.count == wanted.count && same_terms(there.terms, wanted.terms);
  return is_there ? Result<std::string>(std::string(text)) : fresh;
}

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

Result<std::string> revoke_net(std::string_view text, Who who, std::string_view bridge) {
  const auto name = bridge.substr(0, bridge.find(':'));
  if (!is_interface_name(name)) return no_bridge(bridge, name);
  const auto lines = lines_for(text, who, name);
  if (!lines) return std::unexpected(lines.error());
  std::string out(text);
  for (auto line = lines->rbegin(); line != lines->rend(); ++line)
    out = with_line(out, line->line.number, {});
  return checked_net(std::move(out));
}

Result<MergedNet> merge_net(std::string_view text, std::string_view from_path,
                            std::string_view from, const IsSame& is_same) {
  const auto there = parse_net_conf("net.conf", text);
  if (!there) return refuse_malformed(there.error(), "net.conf");
  MergedNet merged{std::string(text), {}};
  std::string added;
  const auto note = [&](const TextLine& line, std::string_view why) {
    merged.notes.push_back(concat(from_path, ":", line.number, ": ", quoted(line.text), ": ", why));
  };
  for (const auto& line : lines_of(from)) {
    const auto parsed = parse_net_conf({}, line.text);
    if (!parsed) {
      std::string_view why = parsed.error().text;  // ":1:COLUMN: why"
      for (int i = 0; i < 3; ++i) (void)take_until(why, ':');
      note(line, concat("not taken:", why));
      continue;
    }
    if (parsed->empty()) continue;  // a comment
    const auto& wish = parsed->front();
    const auto speaks_of_it = [&](const NetLine& l) {
      return l.bridge == wish.bridge && is_same(l.who, wish.who);
    };
    const auto old = std::ranges::find_if(*there, speaks_of_it);
    if (old == there->end())
      added += concat(line.text, "\n");
    else if (std::ranges::none_of(*there, [&](const NetLine& l) {
               return speaks_of_it(l) && l.count == wish.count && same_terms(l.terms, wish.terms);
             }))
      note(line, concat("not taken: net.conf has a line for ", wish.who, " on ", wish.bridge,
                        " with other terms (count ", old->count,
                        "), which stays as it is: userns-policy grant changes it"));
  }
  if (!added.empty())
    merged.text += concat(text.empty() || text.ends_with('\n') ? "" : "\n", "# From ",
                          shown_path(from_path), ".\n", added);
  auto whole = checked_net(std::move(merged.text));
  if (!whole) return std::unexpected(whole.error());
  merged.text = std::move(*whole);
  return merged;
}

Result<std::string> grant_cgroup(std::string_view text, Who who,
                                 std::span<const std::string> settings) {
  const auto place = place_of(text, who);
  if (!place) return std::unexpected(place.error());
  std::string entry =
      place->line ? std::string(parts_of(place->line->line.text, false).entry) : who.front();
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
  if (!place->line) return checked_cgroup(with_new_line(text, place->before, entry));
  const auto number = place->line->line.number;
  const auto line = concat(entry, parts_of(place->line->line.text, false).rest);
  const bool is_hidden = place->before != 0 && place->before < number;
  if (!is_hidden) return checked_cgroup(with_line(text, number, line));
  // A group's line, or everybody's, stands before it and decides for its members.
  return checked_cgroup(with_new_line(with_line(text, number, {}), place->before, line));
}

Result<std::string> revoke_cgroup(std::string_view text, Who who,
                                  std::span<const std::string> keys) {
  for (const std::string_view key : keys)
    if (const auto known = parse_setting(key.substr(0, key.find('=')), "max");
        key != "all" && !known && known.error().rule == "CC-KEY")
      return fail({}, concat("--cgroup ", quoted(key), " is no key of cgroup.conf(5), nor all"));
  const auto place = place_of(text, who);
  if (!place) return std::unexpected(place.error());
  if (!place->line) return std::string(text);
  const auto& line = place->line->line;
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
  return checked_cgroup(
      with_line(text, line.number, is_empty ? "" : concat(entry, parts_of(line.text, false).rest)));
}

}  // namespace userns::frontend
