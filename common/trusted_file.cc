#include "common/trusted_file.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string>

#include "policy/text.h"

namespace userns {
namespace {

constexpr int kMostLinks = 40;  // as the kernel's own limit
// What root has put there is opened before it is looked at: nobody waits for a FIFO's other end.
constexpr int kHarmless = O_NONBLOCK | O_NOCTTY;

// The way walked so far, by an O_PATH fd, and what is still to walk.
struct Walk {
  std::string_view path;  // as asked for, for messages
  Fd at{};
  struct stat facts{};
  std::string rest{};
  int links = 0;
  int unreadable = 0;  // errno: why the last one is open to be looked at alone

  [[nodiscard]] std::unexpected<Error> refuse(std::string_view rule, std::string_view why,
                                              int code = 0) const {
    return fail(rule, concat(path, " cannot be trusted: ", why), code);
  }

  // The last one is opened to be read at once, unless it is a link.
  Result<void> step(int dir, const char* name, bool is_last) {
    auto next = open_at(dir, name, O_NOFOLLOW | (is_last ? O_RDONLY | kHarmless : O_PATH));
    unreadable = next ? 0 : next.error().code;
    if (!next && is_last) next = open_at(dir, name, O_NOFOLLOW | O_PATH);
    if (!next) return refuse("TF-PATH", "its path cannot be followed", next.error().code);
    at = std::move(*next);
    if (::fstat(at.get(), &facts) != 0) return fail_errno(concat("cannot examine ", path));
    const bool root_only =
        facts.st_uid == 0 && (S_ISLNK(facts.st_mode) || (facts.st_mode & (S_IWGRP | S_IWOTH)) == 0);
    if (S_ISREG(facts.st_mode) && !root_only)
      return refuse(
          "TF-FILE",
          "it must be owned by root and not writable by group or others (chown root, chmod go-w)");
    if (!root_only)
      return refuse("TF-PATH",
                    "every directory and link on the way must be owned by root (uid 0 of this user "
                    "namespace), and not writable "
                    "by group or others");
    return {};
  }

  // Puts a link's target in front of what is left; an absolute one starts again at the root.
  Result<void> follow(Fd directory) {
    std::array<char, PATH_MAX> target{};
    const auto length = ::readlinkat(at.get(), "", target.data(), target.size());
    if (length <= 0 || static_cast<std::size_t>(length) == target.size() || ++links > kMostLinks)
      return refuse("TF-PATH", "a symbolic link on the way cannot be followed", ELOOP);
    rest = concat(std::string_view(target.data(), static_cast<std::size_t>(length)), "/", rest);
    at = std::move(directory);
    return rest.starts_with('/') ? step(AT_FDCWD, "/", false) : Result<void>{};
  }
};

Result<std::optional<Fd>> open_trusted(std::string_view path, mode_t kind,
                                       std::string_view kind_name) {
  Walk walk{.path = path, .rest = std::string(path)};
  auto walked = walk.step(AT_FDCWD, "/", false);
  while (walked && walk.rest.find_first_not_of('/') != std::string::npos) {
    std::string_view rest = walk.rest;
    const std::string name(take_until(rest, '/'));
    walk.rest = std::string(rest);
    if (name.empty()) continue;
    Fd directory = std::move(walk.at);
    walked = walk.step(directory.get(), name.c_str(), rest.find_first_not_of('/') == rest.npos);
    if (!walked && walked.error().code == ENOENT) return std::nullopt;
    if (walked && S_ISLNK(walk.facts.st_mode)) walked = walk.follow(std::move(directory));
  }
  if (!walked) return std::unexpected(walked.error());
  if ((walk.facts.st_mode & S_IFMT) != kind)
    return walk.refuse("TF-FILE", concat("it is not a ", kind_name));
  if (walk.unreadable != 0) return walk.refuse("TF-FILE", "it cannot be read", walk.unreadable);
  return std::optional<Fd>(std::move(walk.at));
}

}  // namespace

Result<std::optional<Fd>> open_trusted_file(std::string_view path) {
  return open_trusted(path, S_IFREG, "regular file");
}

Result<std::optional<Fd>> open_trusted_directory(std::string_view path) {
  return open_trusted(path, S_IFDIR, "directory");
}

Result<std::string> read_opened(const Result<std::optional<Fd>>& file, std::string_view path,
                                std::string_view rule) {
  constexpr std::size_t kLargest = 1UL << 20U;
  if (!file) return std::unexpected(file.error());
  auto text = *file ? read_all(**file, kLargest) : Result<std::string>{};
  if (!text) return fail(rule, concat("cannot read ", path), text.error().code);
  return text;
}

Result<std::string> read_trusted_file(std::string_view path, std::string_view rule) {
  return read_opened(open_trusted_file(path), path, rule);
}

}  // namespace userns
