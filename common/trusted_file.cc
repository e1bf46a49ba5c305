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

Result<struct stat> stat_of(const Fd& fd, std::string_view path) {
  struct stat facts{};
  if (::fstat(fd.get(), &facts) != 0) return fail_errno(cat("cannot examine a part of ", path));
  return facts;
}

bool others_may_write(const struct stat& facts) { return (facts.st_mode & (S_IWGRP | S_IWOTH)) != 0; }

Result<void> check_directory(const Fd& dir, std::string_view path) {
  const auto facts = stat_of(dir, path);
  if (!facts) return std::unexpected(facts.error());
  if (facts->st_uid != 0 || others_may_write(*facts))
    return fail("TF-PATH", cat("a directory on the way to ", path,
                               " is not root's alone: it must be owned by root and not writable by "
                               "group or others"));
  return {};
}

Result<std::string> read_link(const Fd& link, std::string_view path) {
  std::array<char, PATH_MAX> target{};
  const auto length = ::readlinkat(link.get(), "", target.data(), target.size());
  if (length < 0) return fail_errno(cat("cannot read a symbolic link on the way to ", path));
  if (static_cast<std::size_t>(length) == target.size())
    return fail("TF-PATH", cat("a symbolic link on the way to ", path, " is too long"));
  return std::string(target.data(), static_cast<std::size_t>(length));
}

// O_PATH fds of the directory reached so far, and what is still to walk.
struct Walk {
  Fd dir;
  std::string rest;
  int links = 0;
};

Result<void> start_at_root(Walk& walk, std::string_view path) {
  auto root = open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  if (!root) return std::unexpected(root.error());
  walk.dir = std::move(*root);
  return check_directory(walk.dir, path);
}

Result<void> follow(Walk& walk, const Fd& link, const struct stat& facts, std::string_view path) {
  if (facts.st_uid != 0) return fail("TF-PATH", cat("a symbolic link on the way to ", path, " is not owned by root"));
  if (++walk.links > kMostLinks) return fail("TF-PATH", cat("too many symbolic links on the way to ", path));
  const auto target = read_link(link, path);
  if (!target) return std::unexpected(target.error());
  walk.rest = cat(*target, "/", walk.rest);
  return target->starts_with('/') ? start_at_root(walk, path) : Result<void>{};
}

Result<Fd> open_checked(const Fd& found, const struct stat& facts, std::string_view path) {
  if (!S_ISREG(facts.st_mode)) return fail("TF-FILE", cat(path, " is not a regular file"));
  if (facts.st_uid != 0 || others_may_write(facts))
    return fail("TF-FILE", cat(path,
                               " is not root's alone: it must be owned by root and not writable by "
                               "group or others (chown root ",
                               path, "; chmod go-w ", path, ")"));
  // Reopens exactly the inode that was examined.
  auto file = open_at(AT_FDCWD, cat("/proc/self/fd/", found.get()).c_str(), O_RDONLY | O_NOCTTY);
  if (!file) return fail("TF-FILE", cat("cannot read ", path), file.error().code);
  return file;
}

}  // namespace

Result<std::optional<Fd>> open_trusted_file(std::string_view path) {
  Walk walk{.dir = {}, .rest = std::string(path), .links = 0};
  if (auto begun = start_at_root(walk, path); !begun) return std::unexpected(begun.error());
  while (true) {
    std::string_view rest = walk.rest;
    const std::string name(take_until(rest, '/'));
    const bool is_last = rest.find_first_not_of('/') == std::string_view::npos;
    walk.rest = std::string(rest);
    if (name.empty() && is_last) return fail("TF-FILE", cat(path, " is not a regular file"));
    if (name.empty()) continue;
    auto next = open_at(walk.dir.get(), name.c_str(), O_PATH | O_NOFOLLOW);
    if (!next && next.error().code == ENOENT) return std::nullopt;
    if (!next) return fail("TF-PATH", cat("cannot reach ", path), next.error().code);
    const auto facts = stat_of(*next, path);
    if (!facts) return std::unexpected(facts.error());
    if (S_ISLNK(facts->st_mode)) {
      if (auto followed = follow(walk, *next, *facts, path); !followed) return std::unexpected(followed.error());
      continue;
    }
    if (is_last) {
      auto file = open_checked(*next, *facts, path);
      if (!file) return std::unexpected(file.error());
      return std::optional<Fd>(std::move(*file));
    }
    walk.dir = std::move(*next);
    if (auto safe = check_directory(walk.dir, path); !safe) return std::unexpected(safe.error());
  }
}

}  // namespace userns
