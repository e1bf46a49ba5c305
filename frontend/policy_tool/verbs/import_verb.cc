// userns-policy import-lxc: reads the files, and puts what they come to on standard output, into a
// directory or into the installed net.conf.
#include <dirent.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <optional>
#include <set>

#include "common/fd.h"
#include "frontend/policy_tool/change_file.h"
#include "frontend/policy_tool/check/change.h"
#include "frontend/policy_tool/tool.h"
#include "frontend/policy_tool/verbs/lxc_config.h"
#include "frontend/spec/tell.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

Result<std::vector<NamedText>> read_included(const std::string& path) {
  struct stat facts{};
  std::vector<std::string> files{path};
  if (::stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode)) {
    files.clear();
    const std::unique_ptr<DIR, int (*)(DIR*)> list(::opendir(path.c_str()), ::closedir);
    if (!list) return fail_errno(concat("cannot list ", path));
    while (const dirent* const entry = ::readdir(list.get()))
      if (std::string_view(entry->d_name).ends_with(".conf"))
        files.push_back(concat(path, "/", std::string_view(entry->d_name)));
    std::ranges::sort(files);
  }
  std::vector<NamedText> texts;
  for (const auto& file : files) {
    auto text = read_policy(file);
    if (!text)
      return fail({}, concat("it can not be read (", file, "), so its settings are missing here"),
                  text.error().code);
    texts.push_back({file, std::move(*text)});
  }
  return texts;
}

struct Output {
  std::string name, text;
};

// "/var/lib/lxc/web/config" is web's.
std::string name_for(const std::string& path) {
  const auto slash = path.rfind('/');
  auto name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  if (name == "config" && slash != std::string::npos && slash > 0) {
    const auto before = path.rfind('/', slash - 1);
    name = path.substr(before == std::string::npos ? 0 : before + 1,
                       slash - (before == std::string::npos ? 0 : before + 1));
  }
  return concat(name, name.ends_with(".conf") ? "" : ".conf");
}

Result<std::vector<Output>> translate(const Words& words) {
  std::vector<Output> all;
  std::string nets;
  for (const auto path : words.all("usernet")) {
    auto text = TRY(read_policy(std::string(path)));
    nets += translate_lxc_usernet({std::string(path), std::move(text)});
  }
  if (!words.all("usernet").empty()) all.push_back({"net.conf", std::move(nets)});
  for (const auto path : words.all("config")) {
    auto text = TRY(read_policy(std::string(path)));
    all.push_back({name_for(std::string(path)),
                   translate_lxc_config({std::string(path), std::move(text)}, read_included)});
  }
  return all;
}

Result<void> write_new(const std::string& path, std::string_view text) {
  const auto file =
      open_at(AT_FDCWD, path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0, 0644);
  if (!file && file.error().code == EEXIST)
    return fail(
        {},
        concat(path,
               " is there already, and nothing is overwritten: move it, or name another --output"));
  if (!file)
    return fail({}, concat("cannot make ", path, "; --output names a directory that is there"),
                file.error().code);
  auto written = write_all(*file, text);
  if (!written) ::unlink(path.c_str());
  return written ? written : fail({}, concat("cannot write ", path), written.error().code);
}

// One uid by name and by number.
bool is_same_who(std::string_view a, std::string_view b) {
  const auto uid_of = [](std::string_view who) -> std::optional<std::uint64_t> {
    if (const auto number = parse_decimal(who)) return number;
    const passwd* const entry =
        ::getpwnam(std::string(who).c_str());  // NOLINT(concurrency-mt-unsafe): one thread
    return entry == nullptr ? std::nullopt : std::optional<std::uint64_t>(entry->pw_uid);
  };
  if (a == b) return true;
  const bool are_users = a != "*" && b != "*" && !a.starts_with('@') && !b.starts_with('@');
  const auto uid = are_users ? uid_of(a) : std::nullopt;
  return uid && uid == uid_of(b);
}

// Into the installed net.conf. 1 where a line was not taken.
int merge(const Words& words) {
  const bool dry = words.has("dry-run");
  std::vector<NamedText> files;
  for (const auto path : words.all("usernet")) {
    auto text = read_policy(std::string(path));
    if (!text) return tool_failure(text.error());
    files.push_back({std::string(path), std::move(*text)});
  }
  // The files that are named are this system's.
  if (auto entered = enter_root(words); !entered) return tool_failure(entered.error());
  std::vector<std::string> notes;
  const auto edit = [&](std::span<PolicyText> policy) -> Result<void> {
    for (const auto& file : files) {
      auto merged = TRY(merge_net(policy, file.path, file.text, is_same_who));
      std::ranges::move(merged, std::back_inserter(notes));
    }
    return {};
  };
  const auto shown = change_files(PolicyFile::kNet, edit, dry);
  if (!shown) return tool_failure(shown.error());
  for (const auto& note : notes) tell("userns-policy", {.rule = {}, .code = 0, .text = note});
  const bool is_there = shown->empty() && notes.empty() && !dry;
  if (std::ranges::all_of(
          files, [](const NamedText& f) { return net_entries({}, f.text, nullptr).empty(); }) &&
      notes.empty())
    return put(concat("no line of ", files.front().path, files.size() > 1 ? " and the others" : "",
                      " gives anything: nothing was changed\n"));
  return put(is_there ? concat(installed_path(PolicyFile::kNet),
                               " has all of it already: nothing was changed\n")
                      : *shown,
             notes.empty() ? 0 : 1);
}

std::optional<std::string> bad_words(const Words& words) {
  const bool merges = words.has("merge");
  if (!words.names.empty() || (words.all("usernet").empty() && words.all("config").empty()))
    return "import-lxc needs --usernet FILE or --config FILE: userns-policy import-lxc --help";
  if (merges &&
      (words.all("usernet").empty() || !words.all("config").empty() || words.one("output")))
    return "--merge puts lines of --usernet FILE into net.conf, and goes with neither --config nor "
           "--output";
  if (words.one("root") && !merges)
    return "--root goes with --merge: nothing else is about the policy of a system";
  if (words.has("dry-run") && !merges)
    return "--dry-run goes with --merge: nothing else is changed";
  if (merges && !words.has("dry-run") && ::geteuid() != 0)
    return "--merge writes net.conf, which only root may: add sudo, or --dry-run to see what it "
           "would do";
  return std::nullopt;
}

}  // namespace

int import_lxc_verb(const Words& words) {
  if (auto why = bad_words(words))
    return tool_failure({.rule = {}, .code = 0, .text = std::move(*why)});
  if (words.has("merge")) return merge(words);
  const auto all = translate(words);
  if (!all) return tool_failure(all.error());
  const auto directory = words.one("output");
  std::string out;
  std::set<std::string> names;
  for (const auto& one : *all)
    if (directory && !names.insert(one.name).second)
      return tool_failure({.rule = {},
                           .code = 0,
                           .text = concat("two files would be named ", quoted(one.name),
                                          ": import them one by one")});
  for (const auto& one : *all) {
    if (!directory) {
      out += one.text;
      continue;
    }
    const auto path = concat(*directory, "/", one.name);
    if (const auto written = write_new(path, one.text); !written)
      return tool_failure(written.error());
    out += concat(path, "\n");
  }
  return put(out);
}

}  // namespace userns::frontend
