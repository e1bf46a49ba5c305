#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/change.h"
#include "frontend/policy_tool/check/conf_edit.h"
#include "policy/net_conf.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// For a comment: a path is any bytes but NUL.
std::string shown_path(std::string_view path) {
  const bool plain =
      std::ranges::none_of(path, [](char c) { return (c >= 0 && c < ' ') || c == 127; });
  return plain ? std::string(path) : quoted(path);
}

// The user's lines for a bridge.
Result<std::vector<NetEntry>> lines_for(PolicyTexts files, Who who, std::string_view bridge) {
  TRY(check_well_formed(files));
  auto entries = net_entries(files, nullptr);
  std::erase_if(entries, [&](const NetEntry& e) {
    return e.parsed.bridge != bridge || !contains(who, e.parsed.who);
  });
  return entries;
}

std::unexpected<Error> no_bridge(std::string_view wish, std::string_view bridge) {
  return fail({}, concat("--net ", quoted(wish), ": ", bridge == wish ? "that" : quoted(bridge),
                         " is not a name of a bridge"));
}

// "WHO  veth  BRIDGE  COUNT  key=value ..."
std::string net_line(std::string_view who, std::string_view bridge, std::string_view count,
                     std::span<const std::string_view> settings) {
  std::string line = concat(who, "  veth  ", bridge, "  ", count, settings.empty() ? "" : " ");
  for (const auto setting : settings) line += concat(" ", setting);
  return line;
}

// "key=value" words with commas between them; a value may have commas, too.
std::vector<std::string_view> settings_of(std::string_view rest) {
  std::vector<std::string_view> settings;
  while (!rest.empty()) {
    const auto piece = take_until(rest, ',');
    if (piece.contains('=') || settings.empty())
      settings.push_back(piece);
    else
      settings.back() = {settings.back().data(), piece.data() + piece.size()};
  }
  return settings;
}

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

// What a line would give that a wish makes, with the settings of one that is there.
Result<NetLine> parse_wish(std::string_view wish, std::string_view count, std::string_view line) {
  const auto parsed = parse_net_conf({}, line);
  if (parsed && parsed->size() == 1 && !count.empty() &&
      wish.find_first_of(" \t\n#") == std::string_view::npos)
    return parsed->front();
  const auto why =
      parsed ? "" : concat(": ", parsed.error().text.substr(parsed.error().text.find(' ') + 1));
  return fail({}, concat("--net ", quoted(wish), " is not BRIDGE:COUNT[,key=value...]", why));
}

}  // namespace

Result<void> grant_net(ChangedTexts files, Who who, std::string_view wish) {
  auto rest = wish;
  auto count = take_until(rest, ',');
  const auto bridge = take_until(count, ':');
  if (!is_interface_name(bridge)) return no_bridge(wish, bridge);
  const auto lines = TRY(lines_for(files, who, bridge));
  if (lines.size() > 1)
    return fail({}, concat(who.front(), " has ", lines.size(), " lines for ", bridge,
                           ", which add up: userns-policy edit net.conf"));
  const auto* const old = lines.empty() ? nullptr : &lines.front();
  const auto named = settings_of(rest);
  const auto settings = old == nullptr ? named : merged_settings(*old, named);
  const auto line = net_line(who.front(), bridge, count, settings);
  const auto wanted = TRY(parse_wish(wish, count, line));
  if (wanted.count == 0 && who.front() == "*")
    return fail({},
                concat("--net ", quoted(wish),
                       " gives nobody anything and bans nobody: userns-policy revoke '*' --net ",
                       bridge, " takes away what everybody has"));
  auto changed = copies(files);
  if (old == nullptr)
    insert_line(changed, {}, line);
  else if (old->parsed.count == wanted.count && old->parsed.terms == wanted.terms)
    return {};
  else
    change_line(changed, place_of(files, old->line),
                concat(line, parts_of(old->line.text, true).rest));
  return put(files, std::move(changed));
}

Result<void> set_net(ChangedTexts files, Who who, std::string_view wish) {
  const auto bridge = wish.substr(0, wish.find(':'));
  const auto lines = TRY(lines_for(files, who, bridge));
  // A line of its own shows what is meant.
  PolicyText alone{PolicyFile::kNet, "net.conf", {}};
  if (auto meant = grant_net({&alone, 1}, who, wish); !meant) return meant;
  const auto entry = net_entries(alone.path, alone.text, nullptr).front();
  const auto& wanted = entry.parsed;
  const auto is_wanted = [&](const NetEntry& e) {
    return e.parsed.count == wanted.count && e.parsed.terms == wanted.terms;
  };
  if (lines.size() == 1 && is_wanted(lines.front())) return {};
  auto changed = copies(files);
  for (std::size_t i = lines.size(); i > 1; --i)
    change_line(changed, place_of(files, lines[i - 1].line), {});
  if (lines.empty())
    insert_line(changed, {}, entry.line.text);
  else
    change_line(changed, place_of(files, lines.front().line),
                concat(entry.line.text, parts_of(lines.front().line.text, true).rest));
  return put(files, std::move(changed));
}

Result<void> revoke_net(ChangedTexts files, Who who, std::string_view bridge) {
  const auto name = bridge.substr(0, bridge.find(':'));
  if (!is_interface_name(name)) return no_bridge(bridge, name);
  const auto lines = TRY(lines_for(files, who, name));
  auto changed = copies(files);
  for (auto line = lines.rbegin(); line != lines.rend(); ++line)
    change_line(changed, place_of(files, line->line), {});
  return put(files, std::move(changed));
}

namespace {

// ":1:COLUMN: why", of a line that was parsed alone.
std::string_view why_of(const Error& error) {
  std::string_view why = error.text;
  for (int i = 0; i < 3; ++i) (void)take_until(why, ':');
  return why;
}

}  // namespace

Result<std::vector<std::string>> merge_net(ChangedTexts files, std::string_view from_path,
                                           std::string_view from, const IsSame& is_same) {
  TRY(check_well_formed(files));
  const auto there = net_entries(files, nullptr);
  std::string added;
  std::vector<std::string> notes;
  const auto note = [&](const TextLine& line, std::string_view why) {
    notes.push_back(concat(from_path, ":", line.number, ": ", quoted(line.text), ": ", why));
  };
  for (const auto& line : lines_of(from)) {
    const auto parsed = parse_net_conf({}, line.text);
    if (!parsed) note(line, concat("not taken:", why_of(parsed.error())));
    if (!parsed || parsed->empty()) continue;  // a comment
    const auto& wish = parsed->front();
    const auto speaks_of_it = [&](const NetEntry& e) {
      return e.parsed.bridge == wish.bridge && is_same(e.parsed.who, wish.who);
    };
    const auto old = std::ranges::find_if(there, speaks_of_it);
    if (old == there.end())
      added += concat(line.text, "\n");
    else if (std::ranges::none_of(there, [&](const NetEntry& e) {
               return speaks_of_it(e) && e.parsed.count == wish.count &&
                      e.parsed.terms == wish.terms;
             }))
      note(line, concat("not taken: net.conf has a line for ", wish.who, " on ", wish.bridge,
                        " with other terms (count ", old->parsed.count,
                        "), which stays as it is: userns-policy grant changes it"));
  }
  auto changed = copies(files);
  auto& text = changed.front().text;
  if (!added.empty())
    text += concat(text.empty() || text.ends_with('\n') ? "" : "\n", "# From ",
                   shown_path(from_path), ".\n", added);
  TRY(put(files, std::move(changed)));
  return notes;
}

}  // namespace userns::frontend
