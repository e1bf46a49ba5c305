// userns-policy report: who has what, through which line, and what of it is used.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/report.h"
#include "common/subid_source.h"
#include "frontend/policy_tool/host_facts.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/policy_tool/verbs/people.h"
#include "frontend/policy_tool/verbs/report_sources.h"
#include "policy/idmap.h"
#include "policy/subid.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

void say_used(Answer& answer, std::optional<std::uint64_t> used, std::string_view what) {
  answer.items.back().used = used;
  if (used) answer.text += concat("  in use: ", *used, what, "\n");
}

// As lines name a person.
std::vector<std::string> forms_of(const Person& person) {
  auto forms = person.names;
  if (!person.is_gone) forms.push_back(concat(person.user.uid.value()));
  return forms;
}

// All lines that are for a person, by the rule of who.h, in no order.
template <class Line>
std::vector<Line> lines_for(const LinesByWho<Line>& by_who, const Person& person) {
  std::vector<Line> lines;
  const auto take = [&](std::string_view who) {
    if (const auto found = by_who.find(who); found != by_who.end())
      lines.insert(lines.end(), found->second.begin(), found->second.end());
  };
  if (!person.user.name.empty()) take(person.user.name);
  if (person.is_gone) return lines;
  take(concat(person.user.uid.value()));
  std::string_view groups = person.user.group_names;
  while (!groups.empty()) take(concat("@", take_until(groups, ' ')));
  take("*");
  return lines;
}

// --- ids ------------------------------------------------------------------------------------

std::optional<std::uint64_t> processes_with(const ReportSources& sources, IdKind kind,
                                            std::span<const IdRange> ranges) {
  if (!sources.sees_processes) return std::nullopt;
  std::set<int> pids;
  for (const auto& living : kind == IdKind::kUid ? sources.living_uids : sources.living_gids)
    if (std::ranges::any_of(ranges, [&](IdRange r) { return r.overlaps(living.range); }))
      pids.insert(living.pid);
  return pids.size();
}

void say_ranges(Answer& answer, const ReportSources& sources, IdKind kind,
                std::span<const IdRange> ranges, std::string_view gone) {
  std::string text;
  for (const auto range : ranges) text += concat(text.empty() ? "" : ", ", to_text(range));
  auto& item = answer.say(kind == IdKind::kUid ? "newuidmap" : "newgidmap",
                          concat(text.empty() ? "nothing" : text, gone));
  item.ranges.assign(ranges.begin(), ranges.end());
  item.allowed = gone.empty();
  say_used(answer, processes_with(sources, kind, ranges), " processes");
}

// Of a source that has no lines.
void report_asked(Answer& answer, const ReportSources& sources, const Person& person, IdKind kind) {
  if (person.is_gone) return;
  const auto found = find_subids(kind, person.user.name, person.user.uid);
  if (!found) return answer.refuse(kind == IdKind::kUid ? "newuidmap" : "newgidmap", found.error());
  if (!found->owned.ranges().empty()) say_ranges(answer, sources, kind, found->owned.ranges(), {});
}

void report_ids(Answer& answer, const ReportSources& sources, const Person& person, IdKind kind) {
  const auto& file = kind == IdKind::kUid ? sources.uids : sources.gids;
  if (file.is_elsewhere) return report_asked(answer, sources, person, kind);
  OwnedRanges owned;
  std::vector<SubidEntry> lines;
  bool fits = true;
  for (const auto& form : forms_of(person))
    if (const auto found = file.by_owner.find(form); found != file.by_owner.end())
      for (const auto& entry : found->second) {
        fits = owned.add(entry.parsed.range, entry.line.number) && fits;
        lines.push_back(entry);
      }
  if (lines.empty()) return;
  say_ranges(answer, sources, kind, ranges_given(owned, person.user.uid),
             person.is_gone ? ": but no such user" : "");
  if (!fits)
    answer.refuse(answer.items.back().what,
                  {.rule = "SU-MANY", .code = 0, .text = "more separate ranges than are taken"});
  std::ranges::sort(lines, {}, [](const SubidEntry& e) { return e.line.number; });
  for (const auto& entry : lines) answer.line(file.path, entry.line);
}

// --- network --------------------------------------------------------------------------------

std::uint64_t nics_on(const ReportSources& sources, const Person& person, std::uint32_t bridge) {
  const auto found = sources.nics.find({person.user.uid.value(), bridge});
  return found == sources.nics.end() ? 0 : found->second;
}

void report_unused_lines(Answer& answer, const ReportSources& sources,
                         std::span<const NetEntry* const> lines) {
  for (const auto* const entry : lines) {
    answer.say(concat("net ", entry->parsed.bridge), "nobody has it: no such user").allowed = false;
    answer.line(sources.net_path, entry->line);
  }
}

// NICs that are there without a line, as after a revoke.
void report_leftovers(Answer& answer, const ReportSources& sources, const Person& person,
                      const std::set<std::uint32_t>& told) {
  for (const auto& [key, count] : sources.nics) {
    if (key.first != person.user.uid.value() || told.contains(key.second)) continue;
    const auto bridge = sources.bridges.find(key.second);
    const auto name = bridge == sources.bridges.end() ? concat("interface ", key.second, ", gone")
                                                      : bridge->second;
    answer.say(concat("net ", name), "no line gives it now").allowed = false;
    say_used(answer, count, " interfaces");
  }
}

void report_net(Answer& answer, const ReportSources& sources, const Person& person) {
  auto lines = lines_for(sources.nets_by_who, person);
  std::ranges::sort(lines, {}, [](const NetEntry* e) { return e->line.number; });
  if (person.is_gone) return report_unused_lines(answer, sources, lines);
  std::set<std::uint32_t> told;
  while (!lines.empty()) {
    const auto bridge = lines.front()->parsed.bridge;
    const auto rest = std::ranges::stable_partition(
        lines, [&](const NetEntry* e) { return e->parsed.bridge == bridge; });
    const std::vector<const NetEntry*> of_bridge(lines.begin(), rest.begin());
    lines.erase(lines.begin(), rest.begin());
    explain_bridge(answer, person.user, sources.net_path, of_bridge, bridge);
    const auto found = std::ranges::find(
        sources.bridges, bridge, [](const auto& pair) { return std::string_view(pair.second); });
    if (found == sources.bridges.end()) continue;
    told.insert(found->first);
    say_used(answer, nics_on(sources, person, found->first), " interfaces");
  }
  report_leftovers(answer, sources, person, told);
}

// --- cgroups --------------------------------------------------------------------------------

// The file that says how much of a limit is used; empty: there is none.
std::string use_file_of(std::string_view limit) {
  const bool counts =
      limit.starts_with("memory.") || limit.starts_with("pids.") || limit.starts_with("hugetlb.");
  for (const auto& [end, use] : {std::pair{".limit_in_bytes", ".usage_in_bytes"},
                                 std::pair{".max", ".current"}, std::pair{".high", ".current"}})
    if (counts && limit.ends_with(end))
      return concat(limit.substr(0, limit.size() - std::string_view(end).size()), use);
  return {};
}

void say_limits_used(Answer& answer, const ReportSources& sources, Uid uid) {
  const auto at_count = user_cgroup(*sources.cgroups.base, uid);
  for (auto& limit : answer.items.back().limits) {
    const auto file = use_file_of(limit.file);
    if (file.empty()) continue;
    const auto& hierarchy = sources.cgroups.base->hierarchy;
    const auto directory = limit.controller.empty() || limit.controller == hierarchy
                               ? at_count
                               : user_cgroup_v1(limit.controller, *sources.cgroups.conf, uid);
    const auto text = text_of(concat(directory, "/", file));
    limit.used = text.substr(0, text.find('\n'));
    if (!limit.used.empty())
      answer.text += concat("  of ", limit.file, " in use: ", limit.used, "\n");
  }
}

void report_cgroup(Answer& answer, const ReportSources& sources, const Person& person) {
  const auto lines = lines_for(sources.cgroups_by_who, person);
  const auto first = std::ranges::min_element(lines, {}, &CgroupLine::number);
  const bool has_line = first != lines.end();
  const auto uid = person.user.uid;
  const bool was_here = !person.is_gone && contains(sources.cgroup_owners, uid.value());
  if (person.is_gone && has_line) {
    answer.say("cgroup", "nobody has it: no such user").allowed = false;
    return answer.line(sources.cgroups.path, sources.cgroup_lines[(*first)->number - 1]);
  }
  if (!has_line && !was_here) return;
  const auto used =
      sources.cgroups.base ? children_of(user_cgroup(*sources.cgroups.base, uid)) : std::nullopt;
  // A user's own directory stays, empty.
  if (!has_line && used.value_or(0) == 0) return;
  const auto said = explain_cgroup_line(person.user, sources.cgroups, has_line ? *first : nullptr,
                                        sources.cgroup_lines);
  answer.text += said.text;
  answer.items.insert(answer.items.end(), said.items.begin(), said.items.end());
  if (!sources.cgroups.base) return;
  say_used(answer, used, " containers");
  say_limits_used(answer, sources, uid);
}

// --- all ------------------------------------------------------------------------------------

People people_in(const ReportSources& sources) {
  People people;
  for (const auto* file : {&sources.uids, &sources.gids})
    for (const auto& [owner, lines] : file->by_owner) people.add_owner(owner);
  for (const auto& [who, lines] : sources.nets_by_who) people.add_who(who);
  for (const auto& [who, lines] : sources.cgroups_by_who) people.add_who(who);
  for (const auto& [key, count] : sources.nics) people.add_uid(key.first);
  for (const auto uid : sources.cgroup_owners) people.add_uid(uid);
  return people;
}

// What every user has who is not told of.
Answer of_everybody(const ReportSources& sources) {
  Answer answer;
  if (const auto nets = sources.nets_by_who.find("*"); nets != sources.nets_by_who.end())
    for (const auto* const entry : nets->second) {
      auto& item = answer.say(concat("net ", entry->parsed.bridge),
                              concat(entry->parsed.count, " at a time, each"));
      item.most = entry->parsed.count;
      answer.line(sources.net_path, entry->line);
    }
  const auto cgroups = sources.cgroups_by_who.find("*");
  if (cgroups == sources.cgroups_by_who.end()) return answer;
  const auto& line = *cgroups->second.front();
  answer.say("cgroup", "by this line, each");
  answer.line(sources.cgroups.path, sources.cgroup_lines[line.number - 1]);
  return answer;
}

std::string indented(std::string_view text) {
  std::string all;
  while (!text.empty()) all += concat("  ", take_until(text, '\n'), "\n");
  return all;
}

nlohmann::ordered_json json_of(std::span<const Item> items) {
  auto all = nlohmann::ordered_json::array();
  for (const auto& item : items) all.push_back(userns::frontend::json_of(item));
  return all;
}

std::string compact(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string heading(const Person& person) {
  const bool has_name = !person.user.name.empty();
  return concat(person.user.text(),
                person.is_gone ? " (no such user)"
                : has_name     ? concat(" (uid ", person.user.uid.value(), ")")
                               : std::string{},
                "\n");
}

// Of one user: a line of JSON, or a paragraph. There can be many users, so that only what is to be
// shown is kept.
std::string told(const Person& person, const Answer& answer, bool as_json) {
  if (!as_json) return concat(heading(person), indented(answer.text));
  nlohmann::ordered_json user{{"user", person.user.text()}};
  user["uid"] =
      person.is_gone ? nlohmann::ordered_json() : nlohmann::ordered_json(person.user.uid.value());
  user["answers"] = json_of(answer.items);
  return compact(user);
}

std::string of_users(const ReportSources& sources, bool as_json) {
  std::string all;
  for (const auto& person : people_in(sources).all()) {
    Answer answer;
    for (const auto kind : {IdKind::kUid, IdKind::kGid}) report_ids(answer, sources, person, kind);
    report_net(answer, sources, person);
    report_cgroup(answer, sources, person);
    if (answer.items.empty()) continue;
    if (as_json && !all.empty()) all += ",\n";
    all += told(person, answer, as_json);
  }
  return all;
}

std::string as_json(const ReportSources& sources) {
  auto problems = nlohmann::ordered_json::array();
  for (const auto& [file, error] : sources.problems)
    problems.push_back(
        nlohmann::ordered_json{{"file", file}, {"rule", error.rule}, {"reason", to_text(error)}});
  return concat("{\"users\": [\n", of_users(sources, true),
                "\n],\n\"everybody\": ", compact(json_of(of_everybody(sources).items)),
                ",\n\"problems\": ", compact(problems), "}\n");
}

std::string as_text(const ReportSources& sources) {
  std::string text;
  for (const auto& [file, error] : sources.problems)
    text += concat(file, " gives nobody anything, or is not known to you: ", to_text(error), "\n");
  text += of_users(sources, false);
  const auto everybody = of_everybody(sources);
  if (!everybody.items.empty()) text += concat("everybody else\n", indented(everybody.text));
  return text.empty() ? "nobody has anything\n" : text;
}

}  // namespace

int report_verb(const Words& words) {
  if (!words.names.empty())
    return tool_failure(
        {.rule = {},
         .code = 0,
         .text = "report takes no words: userns-policy explain USER is about one user"});
  const ReportSources sources;
  const int status = sources.problems.empty() ? 0 : 1;
  return words.has("json") ? put_as_it_is(as_json(sources), status) : put(as_text(sources), status);
}

}  // namespace userns::frontend
