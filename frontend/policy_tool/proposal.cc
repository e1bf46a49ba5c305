#include "frontend/policy_tool/proposal.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "common/policy_files.h"
#include "frontend/policy_tool/host_facts.h"
#include "frontend/policy_tool/tool.h"
#include "policy/idmap.h"
#include "policy/subid.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Puts back what was written before a file that could not be. False where that failed, too.
bool take_back(std::span<const Proposal> written) {
  bool all = true;
  for (const auto& file : written) {
    const auto now = snapshot(file.before.path);
    if (file.before.exists)
      all = all && now && replace(*now, file.before.text);
    else
      all = all && ::unlink(file.before.path.c_str()) == 0;
  }
  return all;
}

// What the helpers refuse whole is not changed: nothing in it would have an effect.
Result<void> check_believed(PolicyFile kind) {
  if (!has_directory(kind)) return {};
  const auto rule = kind == PolicyFile::kNet ? "NC-READ" : "CC-READ";
  const auto read = PolicyFiles::read(installed_path(kind), rule);
  return read ? Result<void>{} : std::unexpected(read.error());
}

}  // namespace

bool is_subid(PolicyFile kind) {
  return kind == PolicyFile::kSubuid || kind == PolicyFile::kSubgid;
}
Result<std::vector<Proposal>> read_files(std::span<const PolicyFile> kinds) {
  std::vector<Proposal> all;
  for (const auto kind : kinds) {
    TRY(check_believed(kind));
    for (const auto& path : installed_paths(kind)) {
      auto before = TRY(snapshot(path));
      auto same = before.text;
      all.push_back({kind, path, std::move(before), std::move(same)});
    }
  }
  return all;
}

std::vector<PolicyText> texts_of(std::span<const Proposal> all, PolicyFile kind) {
  std::vector<PolicyText> texts;
  for (const auto& file : all)
    if (file.kind == kind) texts.push_back({kind, file.path, file.after});
  return texts;
}

void put_texts(std::span<Proposal> all, std::span<const PolicyText> texts) {
  for (const auto& text : texts) {
    const auto file = std::ranges::find(all, text.path, &Proposal::path);
    if (file != all.end()) file->after = text.text;
  }
}

Result<void> write_files(std::span<const Proposal> all) {
  std::vector<Proposal> changed(all.begin(), all.end());
  std::erase_if(changed, [](const Proposal& file) { return file.after == file.before.text; });
  for (std::size_t i = 0; i < changed.size(); ++i) {
    const auto done = replace(changed[i].before, changed[i].after);
    if (done) continue;
    const bool undone = take_back(std::span(changed).first(i));
    return fail({},
                concat(done.error().text,
                       undone ? "; nothing was changed"
                              : "; files before it are changed already: say the same again when "
                                "this is mended"),
                done.error().code);
  }
  return {};
}

Result<void> check_source() {
  const auto nsswitch = text_of("/etc/nsswitch.conf");
  if (const auto source = nss_subid_source(nsswitch); source != "files")
    return fail(
        {},
        concat("subordinate ids come from ", quoted(source),
               " here (subid: in nsswitch.conf), and the files are not read: grant them there"));
  return {};
}

Result<void> check_login_defs(const HostFacts& facts) {
  const auto bad = std::ranges::find(facts.login_defs, Severity::kError, &Finding::severity);
  if (bad == facts.login_defs.end()) return {};
  return fail({}, concat(bad->file, ":", bad->line, ": ", bad->what, ": ", bad->fix,
                         "; ids are not granted from a range that may not be the one meant"));
}

// Which accounts a grant could not see.
std::string what_is_not_known(const HostFacts& facts) {
  if (facts.quiet.empty() || facts.quiet_ranges_known || facts.not_asked == 0) return {};
  std::string sources;
  for (const auto& source : facts.quiet) sources += concat(sources.empty() ? "" : ", ", source);
  return concat(
      "note: ", sources,
      " (nsswitch.conf) may have accounts that it does not list: it was asked for names in "
      "policy files, for owners of homes and for these ids, but in 2 seconds not for ",
      facts.not_asked, " of them; write the ranges that it uses into ", ids_conf_path(),
      " to be sure\n");
}

// Ids that a process still has must not come to somebody else.
Result<void> check_unused(const SubidSide& side, std::span<const IdRange> ranges,
                          const Owner& owner) {
  for (const auto range : ranges) {
    const auto user = std::ranges::find_if(
        side.living, [&](const LivingIds& l) { return l.range.overlaps(range); });
    if (user == side.living.end()) continue;
    return fail({},
                concat("process ", user->pid, " (", quoted(user->command), ") still has ids of ",
                       to_text(range), ", which are ", quoted(owner.forms.front()),
                       "'s: end it first (as that user: userns-run list --running, userns-run "
                       "stop NAME), or say --force: the next user of these ids can then read "
                       "its files and end its processes"));
  }
  return {};
}

std::string place_of_line(const TextLine& line) {
  return concat(line.file, ":", line.number, " (", quoted(line.text), ")");
}

Result<void> check_cgroup_decides(PolicyTexts files, const Owner& owner) {
  const Membership membership(owner);
  for (const auto& entry : cgroup_entries(files, nullptr).lines) {
    if (contains(owner.forms, entry.parsed.who)) return {};
    if (membership.is_for_owner(entry.parsed.who))
      return fail({}, concat("for ", quoted(owner.forms.front()), " ", place_of_line(entry.line),
                             " would still decide: userns-policy edit cgroup.conf"));
  }
  return {};
}

}  // namespace userns::frontend
