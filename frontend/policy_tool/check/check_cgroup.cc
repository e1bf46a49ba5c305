#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "frontend/policy_tool/check/checks.h"
#include "policy/cgroup_rules.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

struct Checker : Reporter {
  const HostFacts& facts;
  mutable std::map<std::string, Result<void>, std::less<>> v1 = {};  // by controller

  // Asked once for each controller: lines can be many.
  const Result<void>& v1_hierarchy(std::string_view controller, const CgroupConf& conf) const {
    const auto known = v1.find(controller);
    if (known != v1.end()) return known->second;
    return v1.emplace(controller, facts.machine->v1_hierarchy(controller, conf)).first->second;
  }

  // KEY=VALUE of a line, as a view into it.
  static std::string_view word(const TextLine& line, std::string_view key) {
    for (auto at = line.text.find(key); at != std::string_view::npos;
         at = line.text.find(key, at + 1))
      if (at > 0 && (line.text[at - 1] == ' ' || line.text[at - 1] == '\t') &&
          line.text.substr(at + key.size(), 1) == "=")
        return line.text.substr(at, line.text.find_first_of(" \t#", at) - at);
    return line.text;
  }
  static std::string key_of(const Setting& setting) {
    return setting.key->name == "hugetlb." ? setting.file : std::string(setting.key->name);
  }

  void check_amount(const CgroupEntry& entry, const Setting& setting) const {
    const auto& machine = *facts.machine;
    const auto key = key_of(setting);
    const auto over = [&](std::uint64_t most, std::string_view has) {
      const auto amount =
          parse_decimal(std::string_view(setting.text).substr(0, setting.text.find(' ')));
      if (amount && most > 0 && *amount > most)
        say(Severity::kWarning, "over-machine", entry.line, word(entry.line, key),
            concat("the machine has only ", most, has),
            "the limit limits nothing: one user can take the whole machine",
            concat("set ", key, " below that"));
    };
    if (key == "memory.max" || key == "memory.high") over(machine.memory, " bytes of memory");
    if (key == "memory.swap.max") over(machine.swap, " bytes of swap space");
    if (key == "pids.max") over(machine.pids, " process ids");
    if (key == "cpu.max") over(machine.cpus * 100'000, " microseconds of CPU time in each 100000");
    if (key == "cpuset.cpus") check_cpus(entry, setting);
    if (setting.key->name == "hugetlb.") check_pages(entry, setting);
    if (setting.key->form == SettingForm::kDevice) check_device(entry, setting);
  }

  void check_cpus(const CgroupEntry& entry, const Setting& setting) const {
    std::uint64_t last = 0;
    for (std::string_view rest = setting.text; !rest.empty();) {
      auto range = take_until(rest, ',');
      while (!range.empty())
        last = std::max(last, parse_decimal(take_until(range, '-')).value_or(0));
    }
    if (last >= facts.machine->cpus)
      say(Severity::kWarning, "over-machine", entry.line, word(entry.line, "cpuset.cpus"),
          concat("the machine has only the CPUs 0 to ", facts.machine->cpus - 1),
          "the kernel may refuse the list (CG-LIMIT)", "leave the others out");
  }
  void check_pages(const CgroupEntry& entry, const Setting& setting) const {
    const auto size = setting.file.substr(8, setting.file.size() - 12);
    if (!contains(facts.machine->hugepages, size))
      say(Severity::kError, "over-machine", entry.line, word(entry.line, setting.file),
          concat("the machine has no huge pages of ", quoted(size)),
          "the user is refused (CG-LIMIT)", "leave it out");
  }
  void check_device(const CgroupEntry& entry, const Setting& setting) const {
    const auto device = setting.text.substr(0, setting.text.find(' '));
    if (!facts.machine->has_block_device(device))
      say(Severity::kError, "over-machine", entry.line, word(entry.line, "io.max"),
          concat("the machine has no block device ", device), "the user is refused (CG-LIMIT)",
          "see lsblk for the numbers");
  }

  // Settings one by one, by the helper's own decision.
  void check_controllers(const CgroupEntry& entry, const CgroupBase& base,
                         const CgroupConf& conf) const {
    for (const auto& setting : entry.parsed.settings) {
      if (!setting.key->is_a_file()) continue;
      const CgroupLine only{
          .who = entry.parsed.who, .settings = {setting}, .path = {}, .number = entry.line.number};
      const auto grant = decide({.caller = Uid{0},
                                 .line = &only,
                                 .conf_path = entry.line.file,
                                 .base = base.path,
                                 .base_is_systemds = false,
                                 .hierarchy = base.hierarchy,
                                 .controllers = base.controllers,
                                 .place = {.own = "/", .base = "/", .user_cgroup = "0"}},
                                *ContainerName::parse("x"));
      std::string why = grant ? "" : grant.error().text;
      if (grant)
        for (const auto& part : grant->parts().subspan(1))
          if (const auto& there = v1_hierarchy(part.controller, conf); !there)
            why = there.error().text;
      if (why.empty()) continue;
      const auto key = key_of(setting);
      say(Severity::kError, "no-controller", entry.line, word(entry.line, key), std::move(why),
          "the user is refused altogether (CG-CONTROLLER): a limit that does not hold is none",
          "leave it out, or enable the controller for the base");
    }
  }

  // Units come and go; a name that was never right does not come.
  void check_from(const CgroupEntry& entry, const CgroupBase& base) const {
    std::string_view from = entry.parsed.text_of("from");
    while (from != "any" && !from.empty())
      if (const auto path = take_until(from, ','); !facts.machine->has_cgroup(base, path))
        say(Severity::kWarning, "from-missing", entry.line, word(entry.line, "from"),
            concat("there is no cgroup ", path, " now"),
            "nobody can come from there until there is", "correct the path, or start its unit");
  }

  // A ban is meant. Limits beside it hold nobody.
  void check_ban(const CgroupEntry& entry) const {
    if (entry.parsed.text_of("containers") != "0" || entry.parsed.settings.size() == 1) return;
    say(Severity::kWarning, "count-zero", entry.line, word(entry.line, "containers"),
        "the line refuses its users every container, so its other settings are never used",
        "who reads them believes that these users have something (CG-POLICY)",
        "remove the other settings, or allow a container");
  }

  // The first line that is for a user decides.
  void check_order(const std::vector<CgroupEntry>& entries) const {
    const CgroupEntry* everyone = nullptr;
    std::map<std::string_view, const CgroupEntry*> first;  // by who: there can be many
    for (const auto& entry : entries) {
      const auto who = std::string_view(entry.parsed.who);
      const auto part = entry.line.text.substr(entry.line.text.find(who), who.size());
      const auto* const same = first.try_emplace(who, &entry).first->second;
      if (everyone != nullptr)
        say(Severity::kWarning, "unreachable", entry.line, part, "the line is never looked at",
            concat(place_seen_from(everyone->line, entry.line),
                   " is for everyone (*), and the first line that is for a user decides"),
            concat("move it before ", place_seen_from(everyone->line, entry.line)));
      else if (!same->line.is(entry.line) && same->line.text != entry.line.text)
        say(Severity::kWarning, "unreachable", entry.line, part, "the line is never looked at",
            concat(place_seen_from(same->line, entry.line),
                   " is for the same, and the first line that is for a user decides"),
            "unite the two lines");
      if (who == "*" && everyone == nullptr) everyone = &entry;
    }
  }
};

// Of one line; what an earlier one said of the base stays.
void take_line(CgroupEntries& all, const TextLine& line, std::vector<Finding>* findings) {
  auto parsed = parse_cgroup_conf(line.text, {});
  if (!parsed && findings != nullptr) findings->push_back(from_parser(line, parsed.error(), {}));
  if (!parsed) return;
  const bool again = (!parsed->base.empty() && !all.conf.base.empty()) ||
                     (!parsed->v1_base.empty() && !all.conf.v1_base.empty());
  if (again && findings != nullptr)
    findings->push_back(
        from_parser(line, {.rule = "CC-BASE", .code = 0, .text = ":1:1: it is given twice"}, {}));
  if (!parsed->base.empty() || !parsed->v1_base.empty()) all.base_line = line;
  if (!parsed->base.empty()) all.conf.base = parsed->base, all.conf.delegated = parsed->delegated;
  if (!parsed->v1_base.empty()) all.conf.v1_base = parsed->v1_base;
  for (auto& entry : parsed->lines) {
    entry.number = line.number;
    entry.path = line.file;
    all.lines.push_back({line, std::move(entry)});
  }
}

}  // namespace

CgroupEntries cgroup_entries(PolicyTexts files, std::vector<Finding>* findings) {
  CgroupEntries all;
  for (const auto& file : files)
    for (const auto& line : lines_of(file.text, file.path)) take_line(all, line, findings);
  return all;
}

void check_cgroup(PolicyTexts files, const HostFacts& facts, std::vector<Finding>& found) {
  const Checker checker{{found}, facts};
  const auto entries = cgroup_entries(files, &found);
  std::vector<TextLine> lines;
  std::optional<Result<CgroupBase>> base;
  if (facts.machine && !(entries.lines.empty() && entries.base_line.number == 0))
    base = facts.machine->cgroup_base(entries.conf);
  if (base && !*base && entries.base_line.number > 0)
    checker.say(Severity::kError, "base", entries.base_line, entries.base_line.text,
                (*base).error().text, "nobody can have a cgroup (CG-BASE)",
                "name a directory of the cgroup2 file system that is root's alone");
  if (base && *base && (*base)->is_systemds) {
    const auto& line =
        entries.base_line.number == 0 ? entries.lines.front().line : entries.base_line;
    checker.say(
        Severity::kError, "base-not-delegated", line, line.text,
        concat((*base)->path, " is systemd's own, which wants no other writer there"),
        "everybody is refused (CG-WRITER)",
        "systemctl enable --now userns-cgroup.service, or set base = to a unit with Delegate=yes");
  }
  for (const auto& entry : entries.lines) {
    const auto who = std::string_view(entry.parsed.who);
    check_who(PolicyFile::kCgroup, entry.line,
              entry.line.text.substr(entry.line.text.find(who), who.size()), facts, found);
    checker.check_ban(entry);
    if (facts.machine)
      for (const auto& setting : entry.parsed.settings) checker.check_amount(entry, setting);
    if (base && *base) checker.check_controllers(entry, **base, entries.conf);
    if (base && *base) checker.check_from(entry, **base);
    lines.push_back(entry.line);
  }
  checker.check_order(entries.lines);
  check_duplicates(PolicyFile::kCgroup, lines, found);
}

}  // namespace userns::frontend
