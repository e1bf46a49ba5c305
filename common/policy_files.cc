#include "common/policy_files.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/list_directory.h"
#include "common/trusted_file.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns {
namespace {

constexpr std::size_t kLongestName = 255;
constexpr int kTries = 8;

bool is_not_read(const std::string& name) {
  return name.starts_with('.') || !name.ends_with(".conf");
}

// A link to nothing is there: it must not take a ban away in silence.
Result<void> absent(const std::string& path) {
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) != 0 && errno == ENOENT) return {};
  return fail("TF-FILE", concat(path, " cannot be opened: a symbolic link to nothing"), ENOENT);
}

}  // namespace

void keep_conf_names(std::vector<std::string>& names) {
  std::erase_if(names, is_not_read);
  std::ranges::sort(names);
}

Result<void> PolicyFiles::add(const std::string& path) {
  const auto file = TRY(open_trusted_file(path));
  if (!file) return absent(path);
  auto text = read_all(*file, kMostBytes - bytes_);
  if (!text)
    return fail(rule_,
                text.error().code == EFBIG
                    ? concat("cannot read ", path, ": it and the files before it have more than ",
                             kMostBytes, " bytes")
                    : concat("cannot read ", path),
                text.error().code);
  bytes_ += text->size();
  struct stat facts{};
  const bool is_public = ::fstat(file->get(), &facts) == 0 && (facts.st_mode & S_IROTH) != 0;
  texts_.push_back({path, std::move(*text), !is_public});
  return {};
}

Result<void> PolicyFiles::add_directory(const std::string& directory) {
  auto dir = TRY(open_trusted_directory(directory));
  if (!dir) return absent(directory);
  auto names = names_in(std::move(*dir), DT_UNKNOWN);
  if (!names) return fail(rule_, concat("cannot list ", directory), names.error().code);
  keep_conf_names(*names);
  if (names->size() > kMost)
    return fail(rule_, concat(directory, " has ", names->size(), " files; at most ", kMost,
                              " are read: unite some of them"));
  for (const auto& name : *names) {
    if (!is_plain_word(name, kLongestName))
      return fail("TF-FILE", concat(directory, " has a file ", quoted(name),
                                    ": its name may have letters, digits, - _ and . only"));
    TRY(add(concat(directory, "/", name)));
  }
  return {};
}

Result<std::vector<ConfText>> PolicyFiles::read_once(const std::string& path,
                                                     std::string_view rule) {
  PolicyFiles files(rule);
  auto added = files.add(path);
  if (added) added = files.add_directory(concat(path, ".d"));
  if (!added) return std::unexpected(added.error());
  return std::move(files.texts_);
}

// Twice the same: so it was between the two, all at once. A caller can stop a helper half-way, and
// would have a grant of afterwards without the ban that was written before it.
Result<std::vector<ConfText>> PolicyFiles::read(const std::string& path, std::string_view rule) {
  auto texts = read_once(path, rule);
  for (int left = kTries; texts && left > 0; --left) {
    auto again = read_once(path, rule);
    if (!again || *again == *texts) return again;
    texts = std::move(again);
  }
  if (!texts) return texts;
  return fail(rule, concat(path, " and ", path, ".d change all the time: try again"));
}

}  // namespace userns
