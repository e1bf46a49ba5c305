#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "frontend/policy_tool/host_facts.h"
#include "frontend/policy_tool/report/report_answers.h"

namespace userns::frontend {
namespace {

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

}  // namespace

void report_cgroup(Answer& answer, const ReportSources& sources, const Person& person) {
  const auto lines = lines_for(sources.cgroups_by_who, person);
  const auto first = std::ranges::min_element(lines);  // as they are read: they are in one list
  const bool has_line = first != lines.end();
  const auto uid = person.user.uid;
  const bool was_here = !person.is_gone && contains(sources.cgroup_owners, uid.value());
  if (person.is_gone && has_line) {
    answer.say("cgroup", "nobody has it: no such user").allowed = false;
    return answer.line(sources.cgroups.line_of(**first));
  }
  if (!has_line && !was_here) return;
  const auto used =
      sources.cgroups.base ? containers_in(user_cgroup(*sources.cgroups.base, uid)) : std::nullopt;
  // A user's own directory stays, empty.
  if (!has_line && used.value_or(0) == 0) return;
  const auto said = explain_cgroup_line(person.user, sources.cgroups, has_line ? *first : nullptr);
  answer.text += said.text;
  answer.items.insert(answer.items.end(), said.items.begin(), said.items.end());
  if (!sources.cgroups.base) return;
  say_used(answer, used, " containers");
  say_limits_used(answer, sources, uid);
}

}  // namespace userns::frontend
