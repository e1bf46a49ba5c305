// userns-policy report: who has what, through which line, and what of it is used.
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "common/report.h"
#include "frontend/policy_tool/report/report_answers.h"
#include "frontend/policy_tool/tool.h"
#include "policy/text.h"

namespace userns::frontend {

void say_used(Answer& answer, std::optional<std::uint64_t> used, std::string_view what) {
  answer.items.back().used = used;
  if (used) answer.text += concat("  in use: ", *used, what, "\n");
}

namespace {

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
      answer.line(entry->line);
    }
  const auto cgroups = sources.cgroups_by_who.find("*");
  if (cgroups == sources.cgroups_by_who.end()) return answer;
  const auto& line = *cgroups->second.front();
  answer.say("cgroup", "by this line, each");
  answer.line(sources.cgroups.line_of(line));
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
