// userns-policy check: which files, and their findings in one report.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/policy_files.h"
#include "common/report.h"
#include "frontend/policy_tool/check_around.h"
#include "frontend/policy_tool/host_facts.h"
#include "frontend/policy_tool/safe_path.h"
#include "frontend/policy_tool/tool.h"
#include "policy/subid.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::array kAll{PolicyFile::kSubuid, PolicyFile::kSubgid, PolicyFile::kNet,
                          PolicyFile::kCgroup};

struct Subject {
  PolicyText text;
  bool is_installed = false;  // then its owner and mode matter, too
};

struct Report {
  std::vector<std::string> files;
  std::vector<Finding> findings;
  std::set<PolicyFile> refused;  // by the helpers, for a reason that is among the findings

  // Two files may share a directory.
  void add_path(std::vector<Finding> found, std::optional<PolicyFile> kind = {}) {
    if (kind && contains(found, Severity::kError, &Finding::severity)) refused.insert(*kind);
    for (auto& f : found)
      if (std::ranges::none_of(findings, [&](const Finding& g) {
            return g.line == 0 && g.file == f.file && g.what == f.what;
          }))
        findings.push_back(std::move(f));
  }
};

Result<Subject> subject_of(std::string_view file, std::optional<PolicyFile> as) {
  const auto kind = as ? as : kind_of(file);
  auto text = read_policy(std::string(file));
  if (!text && text.error().code == ENOENT && kind && !file.contains('/'))
    return fail(
        {}, concat("there is no file ", quoted(file), " in this directory; ", installed_path(*kind),
                   " and the other policy files are checked where no file is named"));
  if (!text) return std::unexpected(text.error());
  if (!kind)
    return fail({}, concat("which file ", quoted(file),
                           " is can't be told by its name: add --as subuid, subgid, net.conf or "
                           "cgroup.conf"));
  return Subject{{*kind, std::string(file), std::move(*text)}, false};
}

void add_installed(std::vector<Subject>& all, const std::string& root, const std::string& below,
                   PolicyFile kind, Report& report) {
  const auto path = concat(root, below);
  auto text = read_policy(below, root);
  if (text || text.error().code != ENOENT) report.files.push_back(path);
  if (text) {
    all.push_back({{kind, path, std::move(*text)}, true});
  } else if (auto found = check_path(root, path, kind); !found.empty()) {
    report.add_path(std::move(found), kind);
  } else if (text.error().code != ENOENT) {
    auto& f = report.findings.emplace_back();
    f.id = "unreadable";
    f.file = path;
    f.what = text.error().code == EACCES ? "can not be read by you" : text.error().text;
    f.why = "what is in it is not known";
    f.fix = "run userns-policy check as root";
  }
}

// The installed files that are there. An unreadable one is a finding, not the end.
std::vector<Subject> installed(const std::string& root, Report& report) {
  std::vector<Subject> all;
  for (const auto kind : kAll)
    for (const auto& below : installed_paths(kind, root))
      add_installed(all, root, below, kind, report);
  return all;
}

const PolicyText* other_of(const std::vector<Subject>& all, PolicyFile kind) {
  const auto wanted = kind == PolicyFile::kSubuid ? PolicyFile::kSubgid : PolicyFile::kSubuid;
  if (kind != PolicyFile::kSubuid && kind != PolicyFile::kSubgid) return nullptr;
  for (const auto& subject : all)
    if (subject.text.kind == wanted) return &subject.text;
  return nullptr;
}

// Files that nobody reads, because the ids come from elsewhere.
void check_nsswitch(const std::string& root, Report& report) {
  const auto path = concat(root, "/etc/nsswitch.conf");
  const auto text = text_of("/etc/nsswitch.conf", root);
  const auto source = nss_subid_source(text);
  if (source == "files") return;
  const auto at = static_cast<std::size_t>(source.data() - text.data());
  std::size_t before = 0;
  for (const auto& line : lines_of(text, path)) {
    if (at < before + line.text.size() + 1) {
      auto& f =
          report.findings.emplace_back(finding_at(Severity::kWarning, "not-read", line, source));
      f.what = concat("subordinate ids come from ", quoted(source), ", not from files");
      f.why = "/etc/subuid and /etc/subgid are not read while this stands";
      f.fix = "grant ids there, or write subid: files";
      return;
    }
    before += line.text.size() + 1;
  }
}

void say(Report& report, std::string_view id, const std::string& file, std::string what,
         std::string why, std::string fix) {
  auto& f = report.findings.emplace_back();
  f.id = id;
  f.file = file;
  f.what = std::move(what);
  f.why = std::move(why);
  f.fix = std::move(fix);
}

// The helpers' bounds, of a file that was named or of a whole policy.
void check_size(PolicyTexts files, Report& report) {
  if (!has_directory(files.front().kind)) return;
  std::size_t bytes = 0;
  for (const auto& file : files) bytes += file.text.size();
  const bool is_many = files.size() > PolicyFiles::kMost + 1;
  if (is_many || bytes > PolicyFiles::kMostBytes) report.refused.insert(files.front().kind);
  if (bytes > PolicyFiles::kMostBytes)
    say(report, "too-large", files.back().path,
        files.size() == 1 ? "is longer than 1 MiB"
                          : "and the files before it are longer than 1 MiB",
        "the helpers refuse the whole policy", "make it shorter: groups stand for many users");
  if (is_many)
    say(report, "too-large", files.back().path,
        concat("is one of ", files.size() - 1, " files in its directory"),
        concat("the helpers read at most ", PolicyFiles::kMost, ", and refuse the whole policy"),
        "unite some of them");
}

// The helpers' own word on the installed files, should nothing here have found what they find.
void check_helpers_word(PolicyFile kind, Report& report) {
  const auto path = installed_path(kind);
  if (report.refused.contains(kind)) return;
  const auto read = PolicyFiles::read(path, {});
  if (!read && read.error().code != EACCES)
    say(report, "unsafe-path", path, userns::to_text(read.error()),
        "the helpers refuse the whole policy", "");
}

void add(Report& report, std::vector<Finding> found) {
  report.findings.insert(report.findings.end(), std::make_move_iterator(found.begin()),
                         std::make_move_iterator(found.end()));
}

// One policy: an installed one has several files.
void check_policy(std::span<const Subject> subjects, const std::string& root,
                  const HostFacts& facts, const PolicyText* other, Report& report) {
  std::vector<PolicyText> files;
  for (const auto& subject : subjects) {
    if (subject.is_installed)
      report.add_path(check_path(root, subject.text.path, subject.text.kind), subject.text.kind);
    files.push_back(subject.text);
  }
  check_size(files, report);
  add(report, check(files, facts, other));
}

// `is_whole`: the installed files are meant, not some that were named.
void check_all(const std::vector<Subject>& subjects, const std::string& root, bool is_whole,
               Report& report) {
  const auto facts = host_facts(root);
  // It is asked about when the installed files are; a named file is judged by its own lines alone.
  if (std::ranges::any_of(subjects, [](const Subject& s) {
        return s.is_installed &&
               (s.text.kind == PolicyFile::kSubuid || s.text.kind == PolicyFile::kSubgid);
      }))
    report.findings.insert(report.findings.end(), facts.login_defs.begin(), facts.login_defs.end());
  if (is_whole) report.add_path(check_around(root, facts));
  for (std::span<const Subject> rest = subjects; !rest.empty();) {
    const auto kind = rest.front().text.kind;
    std::size_t count = 1;
    while (is_whole && count < rest.size() && rest[count].text.kind == kind) ++count;
    check_policy(rest.first(count), root, facts, other_of(subjects, kind), report);
    rest = rest.subspan(count);
  }
  for (const auto kind : {PolicyFile::kNet, PolicyFile::kCgroup})
    if (is_whole && root.empty()) check_helpers_word(kind, report);
}

std::string to_text(const Report& report, bool errors_only) {
  const bool colour = wants_colour(STDOUT_FILENO);
  std::string text;
  for (const auto& finding : report.findings) text += to_text(finding, colour);
  std::string names;
  for (const auto& file : report.files) names += concat(names.empty() ? "" : ", ", file);
  return concat(text,
                report.findings.empty() ? (errors_only ? "no errors" : "no errors, no warnings")
                                        : count_text(report.findings),
                " in ", names.empty() ? "no file: none of them exists" : names, "\n");
}

}  // namespace

int check_verb(const Words& words) {
  std::string root(words.one("root").value_or(""));
  if (words.one("root") && root.empty())
    return tool_failure(
        {.rule = {}, .code = 0, .text = "--root is empty: name the directory of another system"});
  while (root.ends_with('/')) root.pop_back();
  std::optional<PolicyFile> as;
  if (const auto wish = words.one("as")) {
    as = kind_of(*wish);
    if (!as)
      return tool_failure({.rule = {},
                           .code = 0,
                           .text = concat("--as ", quoted(*wish),
                                          " is none of subuid, subgid, net.conf, cgroup.conf")});
  }
  if (!words.names.empty() && words.one("root"))
    return tool_failure(
        {.rule = {},
         .code = 0,
         .text = "--root checks all files below a directory: name no file, or leave --root out"});
  if (words.names.empty() && as)
    return tool_failure(
        {.rule = {}, .code = 0, .text = "--as says what the files are that are named: name one"});
  if (!root.empty() && ::access(concat(root, "/etc").c_str(), X_OK) != 0)
    return tool_failure(
        {.rule = {},
         .code = errno,
         .text = concat("--root ", quoted(root), ": cannot look into ", root, "/etc")});
  Report report;
  std::vector<Subject> subjects;
  for (const auto& name : words.names) {
    auto subject = subject_of(name, as);
    if (!subject) return tool_failure(subject.error());
    report.files.push_back(name);
    subjects.push_back(std::move(*subject));
  }
  if (words.names.empty()) {
    subjects = installed(root, report);
    check_nsswitch(root, report);
  }
  check_all(subjects, root, words.names.empty(), report);
  if (words.has("errors-only"))
    std::erase_if(report.findings, [](const Finding& f) { return f.severity != Severity::kError; });
  const auto text = words.has("json") ? to_json(report.findings, report.files)
                                      : to_text(report, words.has("errors-only"));
  return put_as_it_is(text, exit_status(report.findings));
}

}  // namespace userns::frontend
