#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/subid_source.h"
#include "frontend/policy_tool/report/report_answers.h"
#include "policy/idmap.h"

namespace userns::frontend {
namespace {

// As lines name a person.
std::vector<std::string> forms_of(const Person& person) {
  auto forms = person.names;
  if (!person.is_gone) forms.push_back(concat(person.user.uid.value()));
  return forms;
}

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

}  // namespace

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
  for (const auto& entry : lines) answer.line(entry.line);
}

}  // namespace userns::frontend
