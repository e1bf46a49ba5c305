// What report says of a person: of their ids, NICs and cgroups.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/report/people.h"
#include "frontend/policy_tool/report/report_sources.h"
#include "frontend/policy_tool/verbs/answer.h"
#include "policy/subid.h"
#include "policy/text.h"

namespace userns::frontend {

void report_ids(Answer& answer, const ReportSources& sources, const Person& person, IdKind kind);
void report_net(Answer& answer, const ReportSources& sources, const Person& person);
void report_cgroup(Answer& answer, const ReportSources& sources, const Person& person);

// Of the last item: nothing where it is not known.
void say_used(Answer& answer, std::optional<std::uint64_t> used, std::string_view what);

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

}  // namespace userns::frontend
