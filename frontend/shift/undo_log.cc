#include "frontend/shift/undo_log.h"

#include <sys/stat.h>
#include <sys/statfs.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "frontend/shift/inode.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::shift {
namespace {

constexpr std::size_t kLargestLog = sizeof(std::size_t) > 4 ? ~std::uint32_t{0} : SIZE_MAX / 2;

Result<std::string> state_directory(std::uint32_t uid) {
  const char* const set =
      std::getenv("XDG_STATE_HOME");  // NOLINT(concurrency-mt-unsafe): no threads yet
  if (set != nullptr && set[0] == '/') return concat(std::string_view(set), "/userns/shift");
  if (uid == 0) return "/var/lib/userns/shift";
  const char* const home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe): no threads yet
  if (home != nullptr && home[0] == '/')
    return concat(std::string_view(home), "/.local/state/userns/shift");
  return fail({}, "there is no place for the undo log: HOME is not set; name one with --log FILE");
}

Result<void> make_directories(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
    if (::mkdir(path.substr(0, at).c_str(), 0700) != 0 && errno != EEXIST && errno != EROFS &&
        errno != EACCES)
      return fail_errno(
          concat("cannot make the undo log's directory ", quoted(path.substr(0, at))));
  return {};
}

struct Parts {
  std::string directory;
  std::string name;
};
Parts split(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {.directory = ".", .name = path};
  return {.directory = path.substr(0, slash + 1), .name = path.substr(slash + 1)};
}

Result<void> check_log(const Fd& file, const std::string& path) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0)
    return fail_errno(concat("cannot look at the undo log ", quoted(path)));
  if (S_ISREG(status.st_mode) && status.st_uid == ::geteuid() && (status.st_mode & 022) == 0 &&
      status.st_nlink == 1)
    return {};
  return fail({}, concat("the undo log ", quoted(path),
                         " is not a file that only the caller can write: it is not believed"));
}

}  // namespace

Result<std::string> log_path(const std::string& directory, std::uint32_t uid) {
  struct stat status{};
  struct statfs system{};
  if (::stat(directory.c_str(), &status) != 0 || ::statfs(directory.c_str(), &system) != 0)
    return fail_errno(concat("cannot look at ", quoted(directory)));
  auto place = state_directory(uid);
  if (!place) return place;
  std::uint64_t id = 0;
  static_assert(sizeof system.f_fsid == sizeof id);
  std::memcpy(&id, &system.f_fsid, sizeof id);
  if (id == 0) id = status.st_dev;
  std::array<char, 64> name{};
  (void)std::snprintf(name.data(), name.size(), "%016llx-%llu.log",
                      static_cast<unsigned long long>(id),
                      static_cast<unsigned long long>(status.st_ino));
  return concat(*place, "/", std::string_view(name.data()));
}

Result<std::optional<LogContent>> read_log(const std::string& path) {
  auto file = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file && file.error().code == ENOENT) return std::nullopt;
  if (!file) return std::unexpected(file.error());
  TRY(check_log(*file, path));
  const auto text = TRY(read_all(*file, kLargestLog));
  auto content = parse_log(text);
  if (!content)
    return fail({},
                concat("the undo log ", quoted(path), " cannot be used: ", content.error().text));
  return std::optional(std::move(*content));
}

Result<UndoLog> UndoLog::at(const std::string& path) {
  const auto parts = split(path);
  if (parts.name.empty())
    return fail({}, concat("the undo log ", quoted(path), " is a directory: name a file"));
  TRY(make_directories(path));
  auto directory = open_at(AT_FDCWD, parts.directory.c_str(), O_RDONLY | O_DIRECTORY);
  if (!directory)
    return fail({},
                concat("cannot open the undo log's directory ", quoted(parts.directory),
                       "; name another with --log FILE"),
                directory.error().code);
  return UndoLog(std::move(*directory), parts.name);
}

Result<void> UndoLog::create(const std::string& text) {
  const std::string fresh = name_ + ".new";
  (void)::unlinkat(directory_.get(), fresh.c_str(),
                   0);  // of a run that was killed: the tree's lock is ours
  auto file = open_at(directory_.get(), fresh.c_str(),
                      O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW, 0, 0600);
  if (!file)
    return fail({}, "cannot make the undo log; name another place with --log FILE",
                file.error().code);
  auto written = write_all(*file, text);
  if (written &&
      (::fdatasync(file->get()) != 0 ||
       ::renameat(directory_.get(), fresh.c_str(), directory_.get(), name_.c_str()) != 0 ||
       ::fsync(directory_.get()) != 0))
    written = fail_errno("cannot keep the undo log");
  if (!written) {
    (void)::unlinkat(directory_.get(), fresh.c_str(), 0);
    return fail({}, "cannot write the undo log; name another place with --log FILE",
                written.error().code);
  }
  file_ = std::move(*file);
  size_ = text.size();
  const auto facts = look({file_.get(), ""});
  if (facts) device_ = facts->key.dev;
  return {};
}

Result<void> UndoLog::reopen(std::size_t sound_bytes) {
  auto file = TRY(open_at(directory_.get(), name_.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW));
  if (auto checked = check_log(file, name_); !checked) return checked;
  if (::ftruncate(file.get(), static_cast<off_t>(sound_bytes)) != 0)
    return fail_errno("cannot mend the undo log");
  const auto facts = look({file.get(), ""});
  if (facts) device_ = facts->key.dev;
  file_ = std::move(file);
  size_ = sound_bytes;
  return {};
}

Result<void> UndoLog::append(const std::string& line, bool durable) {
  if (auto written = write_all(file_, line); !written) {
    [[maybe_unused]] const int cut =
        ::ftruncate(file_.get(), static_cast<off_t>(size_));  // a reader stops there, too
    return fail({}, "cannot write the undo log", written.error().code);
  }
  size_ += line.size();
  if (durable && ::fdatasync(file_.get()) != 0) return fail_errno("cannot keep the undo log");
  return {};
}

Result<void> UndoLog::remove() {
  file_.reset();
  if (::unlinkat(directory_.get(), name_.c_str(), 0) != 0 && errno != ENOENT)
    return fail_errno("cannot remove the undo log");
  return {};
}

Result<bool> UndoLog::is_below(const InodeKey& root) const {
  auto at = hold(directory_.get(), ".");
  if (!at) return std::unexpected(at.error());
  for (InodeKey last{};;) {
    const auto facts = TRY(look({at->get(), ""}));
    if (facts.key == root) return true;
    if (facts.key == last) return false;  // the root directory is its own parent
    last = facts.key;
    auto up = hold(at->get(), "..");
    if (!up && up.error().code == EACCES) return false;  // then the tree is not the caller's either
    if (!up) return std::unexpected(up.error());
    at = std::move(up);
  }
}

}  // namespace userns::shift
