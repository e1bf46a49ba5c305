#include "common/policy_files.h"

#include <dirent.h>

#include <algorithm>
#include <cerrno>

#include "common/list_directory.h"
#include "common/trusted_file.h"
#include "policy/text.h"

namespace userns {
namespace {

constexpr std::size_t kLongestName = 255;

bool is_not_read(const std::string& name) {
  return name.starts_with('.') || !name.ends_with(".conf");
}

}  // namespace

void keep_conf_names(std::vector<std::string>& names) {
  std::erase_if(names, is_not_read);
  std::ranges::sort(names);
}

Result<void> PolicyFiles::add(std::string path) {
  auto file = open_trusted_file(path);
  if (!file) return std::unexpected(file.error());
  opened_.emplace_back(std::move(path), std::move(*file));
  return {};
}

Result<void> PolicyFiles::add_directory(const std::string& directory) {
  auto dir = open_trusted_directory(directory);
  if (!dir) return std::unexpected(dir.error());
  auto names = *dir ? names_in(std::move(**dir), DT_UNKNOWN) : Result<std::vector<std::string>>{};
  if (!names) return fail(rule_, concat("cannot list ", directory), names.error().code);
  keep_conf_names(*names);
  if (names->size() > kMost)
    return fail(rule_, concat(directory, " has ", names->size(), " files; at most ", kMost,
                              " are read: unite some of them"));
  for (const auto& name : *names) {
    if (!is_plain_word(name, kLongestName))
      return fail("TF-FILE", concat(directory, " has a file ", quoted(name),
                                    ": its name may have letters, digits, - _ and . only"));
    if (auto added = add(concat(directory, "/", name)); !added) return added;
    // A link to nothing must not take a ban away in silence.
    if (!opened_.back().second)
      return fail("TF-FILE", concat(opened_.back().first, " cannot be opened"), ENOENT);
  }
  return {};
}

Result<PolicyFiles> PolicyFiles::open(const std::string& path, std::string_view rule) {
  PolicyFiles files(rule);
  auto added = files.add(path);
  if (added) added = files.add_directory(concat(path, ".d"));
  if (!added) return std::unexpected(added.error());
  return files;
}

Result<std::vector<ConfText>> PolicyFiles::read(const Result<PolicyFiles>& files) {
  if (!files) return std::unexpected(files.error());
  std::vector<ConfText> texts;
  std::size_t bytes = 0;
  for (const auto& [path, file] : files->opened_) {
    if (!file) continue;
    auto text = read_all(*file, kMostBytes - bytes);
    if (!text)
      return fail(files->rule_,
                  text.error().code == EFBIG
                      ? concat("cannot read ", path, ": it and the files before it have more than ",
                               kMostBytes, " bytes")
                      : concat("cannot read ", path),
                  text.error().code);
    bytes += text->size();
    texts.push_back({path, std::move(*text)});
  }
  return texts;
}

}  // namespace userns
