#include <algorithm>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/report/report_answers.h"

namespace userns::frontend {
namespace {

std::uint64_t nics_on(const ReportSources& sources, const Person& person, std::uint32_t bridge) {
  const auto found = sources.nics.find({person.user.uid.value(), bridge});
  return found == sources.nics.end() ? 0 : found->second;
}

void report_unused_lines(Answer& answer, std::span<const NetEntry* const> lines) {
  for (const auto* const entry : lines) {
    answer.say(concat("net ", entry->parsed.bridge), "nobody has it: no such user").allowed = false;
    answer.line(entry->line);
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

}  // namespace

void report_net(Answer& answer, const ReportSources& sources, const Person& person) {
  auto lines = lines_for(sources.nets_by_who, person);
  std::ranges::sort(lines);  // as they are read: they are in one list
  if (person.is_gone) return report_unused_lines(answer, lines);
  std::set<std::uint32_t> told;
  while (!lines.empty()) {
    const auto bridge = lines.front()->parsed.bridge;
    const auto rest = std::ranges::stable_partition(
        lines, [&](const NetEntry* e) { return e->parsed.bridge == bridge; });
    const std::vector<const NetEntry*> of_bridge(lines.begin(), rest.begin());
    lines.erase(lines.begin(), rest.begin());
    explain_bridge(answer, person.user, of_bridge, bridge);
    const auto found = std::ranges::find(
        sources.bridges, bridge, [](const auto& pair) { return std::string_view(pair.second); });
    if (found == sources.bridges.end()) continue;
    told.insert(found->first);
    say_used(answer, nics_on(sources, person, found->first), " interfaces");
  }
  report_leftovers(answer, sources, person, told);
}

}  // namespace userns::frontend
