// userns-policy import-lxc: reads the files, and puts what they come to on standard output or into a directory.
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>

#include "common/fd.h"
#include "frontend/policy_tool/lxc_config.h"
#include "frontend/policy_tool/tool.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

Result<std::vector<NamedText>> read_included(const std::string& path) {
  struct stat facts{};
  std::vector<std::string> files{path};
  if (::stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode)) {
    files.clear();
    const std::unique_ptr<DIR, int (*)(DIR*)> list(::opendir(path.c_str()), ::closedir);
    if (!list) return fail_errno(cat("cannot list ", path));
    while (const dirent* const entry = ::readdir(list.get()))
      if (std::string_view(entry->d_name).ends_with(".conf"))
        files.push_back(cat(path, "/", std::string_view(entry->d_name)));
    std::ranges::sort(files);
  }
  std::vector<NamedText> texts;
  for (const auto& file : files) {
    auto text = read_policy(file);
    if (!text)
      return fail({}, cat("it can not be read (", file, "), so its settings are missing here"), text.error().code);
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
  return cat(name, name.ends_with(".conf") ? "" : ".conf");
}

Result<std::vector<Output>> translate(const Words& words) {
  std::vector<Output> all;
  std::string nets;
  for (const auto path : words.all("usernet")) {
    auto text = read_policy(std::string(path));
    if (!text) return std::unexpected(text.error());
    nets += translate_lxc_usernet({std::string(path), std::move(*text)});
  }
  if (!words.all("usernet").empty()) all.push_back({"net.conf", std::move(nets)});
  for (const auto path : words.all("config")) {
    auto text = read_policy(std::string(path));
    if (!text) return std::unexpected(text.error());
    all.push_back(
        {name_for(std::string(path)), translate_lxc_config({std::string(path), std::move(*text)}, read_included)});
  }
  return all;
}

Result<void> write_new(const std::string& path, std::string_view text) {
  const auto file = open_at(AT_FDCWD, path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0, 0644);
  if (!file) return fail({}, cat("cannot make ", path, ", and nothing is overwritten"), file.error().code);
  auto written = write_all(*file, text);
  if (!written) ::unlink(path.c_str());
  return written ? written : fail({}, cat("cannot write ", path), written.error().code);
}

}  // namespace

int import_lxc_verb(const Words& words) {
  if (!words.names.empty() || (words.all("usernet").empty() && words.all("config").empty()))
    return tool_failure({.rule = {},
                         .code = 0,
                         .text = "import-lxc needs --usernet FILE or --config FILE: userns-policy import-lxc --help"});
  const auto all = translate(words);
  if (!all) return tool_failure(all.error());
  const auto directory = words.one("output");
  std::string out;
  std::set<std::string> names;
  for (const auto& one : *all)
    if (directory && !names.insert(one.name).second)
      return tool_failure({.rule = {},
                           .code = 0,
                           .text = cat("two files would be named ", quoted(one.name), ": import them one by one")});
  for (const auto& one : *all) {
    if (!directory) {
      out += one.text;
      continue;
    }
    const auto path = cat(*directory, "/", one.name);
    if (const auto written = write_new(path, one.text); !written) return tool_failure(written.error());
    out += cat(path, "\n");
  }
  return put(out);
}

}  // namespace userns::frontend
