#include "frontend/rootfs/remove.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "frontend/start/ids/in_map.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

// Deeper directories are moved up before they are emptied, so that no tree takes more open files.
constexpr std::size_t kDeepest = 100;
// A process that keeps adding files does not keep us for ever.
constexpr int kMostRounds = 16;

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

bool is_protected(int directory, const std::string& name) {
  struct statx facts{};
  return ::statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &facts) == 0 &&
         (facts.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0;
}

class Remover {
 public:
  explicit Remover(int top) : top_(top) {}

  // Everything in the top directory, which stays.
  void empty_top() {
    empty(top_, ".", 0);
    while (!moved_.empty()) {
      const auto name = std::move(moved_.back());
      moved_.pop_back();
      remove(top_, name, 1, false);
    }
  }

  void remove(int directory, const std::string& name, std::size_t depth, bool may_be_file) {
    if (may_be_file && ::unlinkat(directory, name.c_str(), 0) == 0) return;
    if (may_be_file && errno == ENOENT) return;
    if (may_be_file && errno != EISDIR) return failed(directory, name);
    for (int round = 0; round < kMostRounds; ++round) {
      if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
      if (errno == ENOTDIR && ::unlinkat(directory, name.c_str(), 0) == 0) return;
      if (errno != ENOTEMPTY && errno != EEXIST) break;
      if (depth >= kDeepest && moved_up(directory, name)) return;
      const auto before = failures_;
      empty(directory, name, depth);
      if (failures_ > before) return;
    }
    failed(directory, name);
  }

  [[nodiscard]] Result<void> result() const {
    if (failures_ == 0) return {};
    auto error = *first_;
    if (failures_ > 1) error.text += concat(" (the first of ", failures_, " failures)");
    return std::unexpected(std::move(error));
  }

 private:
  void empty(int directory, const std::string& name, std::size_t depth) {
    auto opened =
        open_at(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_NO_XDEV);
    if (!opened) {
      errno = opened.error().code;
      if (errno != ENOENT && errno != ENOTDIR) failed(directory, name);
      return;
    }
    const Directory entries(::fdopendir(opened->get()), ::closedir);
    if (!entries) return failed(directory, name);
    (void)opened->release();
    while (const dirent* entry = ::readdir(entries.get())) {
      const std::string_view found = entry->d_name;
      if (found != "." && found != "..")
        remove(::dirfd(entries.get()), std::string(found), depth + 1, entry->d_type != DT_DIR);
    }
  }

  bool moved_up(int directory, const std::string& name) {
    const auto there = concat(".removed-", ::getpid(), "-", count_++);
    if (::renameat(directory, name.c_str(), top_, there.c_str()) != 0) return false;
    moved_.push_back(there);
    return true;
  }

  void failed(int directory, const std::string& name) {
    const int code = errno;
    ++failures_;
    if (first_) return;
    std::string_view why;
    if (code == EBUSY || code == EXDEV) why = ": something is mounted on it, umount it first";
    if (code == EPERM && is_protected(directory, name))
      why = ": it is immutable or append-only, the administrator can change that with chattr -i -a";
    first_ = Error{.rule = {},
                   .code = why.empty() ? code : 0,
                   .text = concat("cannot remove ", quoted(name), why)};
  }

  int top_;
  std::size_t count_ = 0;
  std::vector<std::string> moved_;
  std::size_t failures_ = 0;
  std::optional<Error> first_;
};

}  // namespace

Result<void> empty_inside(int directory) {
  Remover remover(directory);
  remover.empty_top();
  return remover.result();
}

Result<void> remove_inside(int directory, const std::string& name) {
  const auto tree =
      open_at(directory, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW, RESOLVE_NO_XDEV);
  if (tree)
    if (auto emptied = empty_inside(tree->get()); !emptied) return emptied;
  Remover remover(directory);
  remover.remove(directory, name, 0, !tree);
  return remover.result();
}

Result<void> remove_tree(const ChosenIds& ids, const Fd& parent, const std::string& name) {
  const auto all = TRY(ids_with_self(ids, ::geteuid(), ::getegid()));
  const auto done = in_map(all.ids, [&](const Outside&) -> Result<std::string> {
    TRY(remove_inside(parent.get(), name));
    return "";
  });
  if (!done) return std::unexpected(done.error());
  return {};
}

}  // namespace userns::frontend
