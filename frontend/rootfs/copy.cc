#include "frontend/rootfs/copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <memory>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::uint64_t kPerEntry = 4096;
constexpr std::size_t kMostOpen = 100;  // directories, on either side
constexpr std::size_t kAtOnce = 2048;   // bytes of a path
constexpr std::size_t kPiece = 1UL << 20U;

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

bool is_gone(int code) { return code == ENOENT || code == ESTALE; }

Result<std::vector<std::string>> names_in(const Fd& directory) {
  auto again = TRY(open_at(directory.get(), ".", O_RDONLY | O_DIRECTORY));
  const Directory entries(::fdopendir(again.get()), ::closedir);
  if (!entries) return fail_errno("cannot read the directory");
  (void)again.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(entries.get()))
    if (const std::string_view name = entry->d_name; name != "." && name != "..")
      names.emplace_back(name);
  return names;
}

// The directory above, if it is still the one that it was.
Result<Fd> above(const Fd& directory, const struct stat& was) {
  auto parent = open_at(directory.get(), "..", O_RDONLY | O_DIRECTORY, RESOLVE_NO_XDEV);
  struct stat is{};
  if (parent && ::fstat(parent->get(), &is) != 0)
    return fail_errno("cannot look at the directory above");
  if (parent && (is.st_dev != was.st_dev || is.st_ino != was.st_ino))
    return fail({}, "a directory was moved while it was copied: try again");
  return parent;
}

// Of a path that may be longer than the kernel takes at once, in a tree that nobody else changes.
Result<Fd> open_parent(const Fd& top, std::string_view path) {
  auto at = open_at(top.get(), ".", O_PATH | O_DIRECTORY);
  for (auto slash = path.rfind('/', kAtOnce); at && slash != std::string_view::npos;
       slash = path.rfind('/', kAtOnce)) {
    const std::string piece(path.substr(0, slash));
    at = open_at(at->get(), piece.c_str(), O_PATH | O_DIRECTORY,
                 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    path.remove_prefix(slash + 1);
  }
  return at;
}

Result<void> set_times(int directory, const char* name, const struct stat& facts) {
  const timespec times[2] = {facts.st_atim, facts.st_mtim};
  if (::utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("cannot set its time");
  return {};
}

}  // namespace

Copier::Copier(const Fd& from, const Fd& to, CopyKind kind, const BothIds& ids, UnpackLimits limits,
               std::function<void(const UnpackCounts&)> on_progress)
    : from_(from),
      to_(to),
      kind_(kind),
      ids_(ids),
      limits_(limits),
      cpu_(limits.cpu),
      on_progress_(std::move(on_progress)) {
  ::umask(0);
}

Result<void> Copier::copy() {
  auto from = open_at(from_.get(), ".", O_RDONLY | O_DIRECTORY);
  auto to = open_at(to_.get(), ".", O_RDONLY | O_DIRECTORY);
  if (!from || !to)
    return fail({}, "cannot look at the root file system to copy", (from ? to : from).error().code);
  auto copied = enter(std::move(*from), std::move(*to));
  if (copied) copied = copy_below();
  if (!copied)
    return fail({}, concat("cannot copy ", quoted(path_), ": ", copied.error().text),
                copied.error().code);
  auto dressed = dress(from_.get(), to_.get(), levels_.front().from_facts);
  if (on_progress_) on_progress_(counts_);
  return dressed;
}

Result<void> Copier::enter(Fd from, Fd to) {
  Level level{.from = std::move(from), .to = std::move(to), .names = {}, .path_size = path_.size()};
  if (::fstat(level.from.get(), &level.from_facts) != 0 ||
      ::fstat(level.to.get(), &level.to_facts) != 0)
    return fail_errno("cannot look at it");
  auto names = TRY(names_in(level.from));
  level.names = std::move(names);
  levels_.push_back(std::move(level));
  if (levels_.size() <= kMostOpen) return {};
  auto& far = levels_[levels_.size() - 1 - kMostOpen];
  far.from.reset();
  far.to.reset();
  return {};
}

// Back to the directory above, whose looks may be set when nothing more is put into it.
Result<void> Copier::leave() {
  const auto left = std::move(levels_.back());
  levels_.pop_back();
  if (auto dressed = dress(left.from.get(), left.to.get(), left.from_facts); !dressed)
    return dressed;
  auto& level = levels_.back();
  if (level.from.valid()) return {};
  auto from = above(left.from, level.from_facts);
  auto to = TRY(from ? above(left.to, level.to_facts) : std::unexpected(from.error()));
  level.from = std::move(*from);
  level.to = std::move(to);
  return {};
}

Result<void> Copier::copy_below() {
  while (true) {
    auto& level = levels_.back();
    path_.resize(level.path_size);
    if (level.names.empty() && levels_.size() == 1) return {};
    if (level.names.empty()) {
      if (auto left = leave(); !left) return left;
      continue;
    }
    const auto name = std::move(level.names.back());
    level.names.pop_back();
    if (!path_.empty()) path_ += '/';
    path_ += name;
    auto copied = copy_entry(level.from, level.to, name, path_);
    if (!copied && !is_gone(copied.error().code)) return copied;
  }
}

Result<void> Copier::count_entry(std::uint64_t bytes) {
  ++counts_.entries;
  counts_.bytes += bytes;
  const auto now = std::chrono::steady_clock::now();
  if (on_progress_ && now - shown_ >= std::chrono::milliseconds(100)) {
    shown_ = now;
    on_progress_(counts_);
  }
  // An entry costs more than its bytes here, and there is no archive that could make up entries.
  if (auto within = cpu_.check(counts_.bytes + kPerEntry * counts_.entries); !within) return within;
  if (counts_.entries <= limits_.entries &&
      counts_.bytes + kPerEntry * counts_.entries <= limits_.bytes)
    return {};
  return fail({}, concat("the copy takes more than ", limits_.bytes, " bytes or ", limits_.entries,
                         " files; --max-size allows more (without it, half of what is free)"));
}

Result<std::pair<std::uint32_t, std::uint32_t>> Copier::owner_of(const struct stat& facts) const {
  const auto uid = ids_.uids(facts.st_uid);
  const auto gid = ids_.gids(facts.st_gid);
  if (uid && gid) return std::pair(*uid, *gid);
  return fail({}, concat("it belongs to ", facts.st_uid, ":", facts.st_gid,
                         ", and the new container has not both of these ids"));
}

Result<void> Copier::copy_entry(const Fd& from, const Fd& to, const std::string& name,
                                const std::string& path) {
  struct stat facts{};
  if (::fstatat(from.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("cannot look at it");
  const auto type = facts.st_mode & S_IFMT;
  if (type == S_IFDIR) return copy_directory(from, to, name);
  if (kind_ == CopyKind::kLayer && type == S_IFCHR && facts.st_rdev == 0)
    return copy_whiteout(to, name, facts);
  const bool is_copied = type == S_IFREG || type == S_IFLNK || type == S_IFIFO;
  if (auto counted = count_entry(0); !counted) return counted;
  if (!is_copied) {
    ++counts_.devices;
    return {};
  }
  const auto linked = TRY(link_to_earlier(to, name, path, facts));
  if (linked) return {};
  if (type == S_IFREG) return copy_file(from, to, name, path);
  return type == S_IFLNK ? copy_link(from, to, name, facts) : copy_fifo(to, name, facts);
}

Result<bool> Copier::link_to_earlier(const Fd& to, const std::string& name, const std::string& path,
                                     const struct stat& facts) {
  if (facts.st_nlink < 2) return false;
  const auto [first, is_first] = linked_.try_emplace({facts.st_dev, facts.st_ino}, path);
  if (is_first) return false;
  const auto parent = TRY(open_parent(to_, first->second));
  const auto earlier = first->second.substr(first->second.rfind('/') + 1);
  if (::linkat(parent.get(), earlier.c_str(), to.get(), name.c_str(), 0) == 0) return true;
  if (errno != ENOENT && errno != EMLINK) return fail_errno("cannot make the hard link");
  first->second = path;  // the earlier one vanished while it was copied
  return false;
}

// --- attributes -------------------------------------------------------------------------------

Result<std::vector<Attribute>> Copier::shifted(std::vector<Attribute> attributes) const {
  const auto root = ids_.uids(0);
  for (auto& attribute : attributes) {
    if (attribute.name == kCapability) {
      const auto owner = ids_.uids(namespace_root(attribute.value));
      if (!owner) return fail({}, "its capability is of a root whose id the new container has not");
      // Without a number it is of this map's root, who is the old container's.
      if (*owner != 0 || root != 0U) attribute.value = with_namespace_root(attribute.value, *owner);
      continue;
    }
    if (attribute.name != kAccessAcl && attribute.name != kDefaultAcl) continue;
    auto entries = acl_entries(attribute.value);
    for (auto& entry : entries) {
      if (entry.tag != 0x02 && entry.tag != 0x08) continue;
      const auto id = entry.tag == 0x02 ? ids_.uids(entry.id) : ids_.gids(entry.id);
      if (!id)
        return fail({},
                    concat("its ACL names the id ", entry.id, ", which the new container has not"));
      entry.id = *id;
    }
    attribute.value = acl_value(std::move(entries));
  }
  return attributes;
}

Result<void> Copier::dress(int from, int to, const struct stat& facts) {
  const auto owner = TRY(owner_of(facts));
  if (::fchown(to, owner.first, owner.second) != 0) return fail_errno("cannot set its owner");
  if (::fchmod(to, facts.st_mode & 07777U) != 0) return fail_errno("cannot set its mode");
  auto attributes = get_attributes(from);
  if (attributes && !attributes->empty()) attributes = shifted(std::move(*attributes));
  if (!attributes) return std::unexpected(attributes.error());
  const auto not_kept = TRY(set_attributes(to, *attributes));
  counts_.attributes += not_kept;
  if (kind_ == CopyKind::kLayer && S_ISDIR(facts.st_mode) && is_opaque(from))
    if (auto made = make_opaque(to); !made) return made;
  const timespec times[2] = {facts.st_atim, facts.st_mtim};
  if (::futimens(to, times) != 0) return fail_errno("cannot set its time");
  return {};
}

// --- by type ----------------------------------------------------------------------------------

Result<void> Copier::copy_directory(const Fd& from, const Fd& to, const std::string& name) {
  if (auto counted = count_entry(0); !counted) return counted;
  auto source =
      open_at(from.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_NO_XDEV);
  const bool is_mount = !source && source.error().code == EXDEV;
  if (is_mount)
    source = open_at(from.get(), ".", O_RDONLY | O_DIRECTORY);  // for the looks of the one above
  if (!source) return std::unexpected(source.error());
  struct stat facts{};
  if (::fstat(source->get(), &facts) != 0) return fail_errno("cannot look at it");
  const auto owner = TRY(owner_of(facts));
  if (::mkdirat(to.get(), name.c_str(), 0700) != 0) return fail_errno("cannot make the directory");
  auto target = TRY(open_at(to.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  // At once, so that who removes an unfinished copy may do so.
  if (::fchown(target.get(), owner.first, owner.second) != 0)
    return fail_errno("cannot set its owner");
  if (is_mount) return dress(source->get(), target.get(), facts);
  return enter(std::move(*source), std::move(target));
}

Result<void> Copier::copy_link(const Fd& from, const Fd& to, const std::string& name,
                               const struct stat& facts) {
  std::array<char, PATH_MAX> target{};
  if (::readlinkat(from.get(), name.c_str(), target.data(), target.size() - 1) < 0)
    return fail_errno("cannot read the link");
  const auto owner = TRY(owner_of(facts));
  if (::symlinkat(target.data(), to.get(), name.c_str()) != 0)
    return fail_errno("cannot make the link");
  if (::fchownat(to.get(), name.c_str(), owner.first, owner.second, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("cannot set its owner");
  return set_times(to.get(), name.c_str(), facts);
}

Result<void> Copier::copy_whiteout(const Fd& to, const std::string& name,
                                   const struct stat& facts) {
  const auto owner = TRY(owner_of(facts));
  if (auto counted = count_entry(0); !counted) return counted;
  if (::mknodat(to.get(), name.c_str(), S_IFCHR, 0) != 0)
    return fail_errno("cannot note that it is deleted");
  if (::fchownat(to.get(), name.c_str(), owner.first, owner.second, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("cannot set its owner");
  return {};
}

Result<void> Copier::copy_fifo(const Fd& to, const std::string& name, const struct stat& facts) {
  const auto owner = TRY(owner_of(facts));
  if (::mkfifoat(to.get(), name.c_str(), facts.st_mode & 07777U) != 0)
    return fail_errno("cannot make the fifo");
  if (::fchownat(to.get(), name.c_str(), owner.first, owner.second, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("cannot set its owner");
  return set_times(to.get(), name.c_str(), facts);
}

Result<void> Copier::copy_file(const Fd& from, const Fd& to, const std::string& name,
                               const std::string& path) {
  // A fifo that took the name's place meanwhile is not waited for.
  const auto source = open_at(from.get(), name.c_str(),
                              O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, RESOLVE_NO_XDEV);
  if (!source && source.error().code == EXDEV)
    return {};  // a file is mounted there: not part of the tree
  if (!source) return std::unexpected(source.error());
  struct stat facts{};
  if (::fstat(source->get(), &facts) != 0) return fail_errno("cannot look at it");
  if (!S_ISREG(facts.st_mode))
    return fail({}, concat("it changed its type while ", quoted(path), " was copied"));
  const Fd target(
      ::openat(to.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!target.valid()) return fail_errno("cannot make the file");
  if (auto copied = copy_data(*source, target, facts); !copied) return copied;
  return dress(source->get(), target.get(), facts);
}

// --- data -------------------------------------------------------------------------------------

Result<void> Copier::copy_data(const Fd& from, const Fd& to, const struct stat& facts) {
  if (facts.st_size == 0) return {};
  counts_.bytes += static_cast<std::uint64_t>(facts.st_blocks) * 512;
  if (may_share_ && ::ioctl(to.get(), FICLONE, from.get()) == 0) return {};
  may_share_ = false;
  if (counts_.bytes > limits_.bytes)
    return fail(
        {}, concat("the copy takes more than ", limits_.bytes, " bytes; --max-size allows more"));
  const bool has_holes = facts.st_blocks * 512 < facts.st_size;
  if (!has_holes) return copy_range(from, to, 0, facts.st_size);
  off_t at = 0;
  while (at < facts.st_size) {
    const auto begin = ::lseek(from.get(), at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;  // only a hole is left
    if (begin < 0) return copy_range(from, to, at, facts.st_size);
    const auto end = ::lseek(from.get(), begin, SEEK_HOLE);
    if (end < 0) return fail_errno("cannot find its holes");
    if (auto copied = copy_range(from, to, begin, end); !copied) return copied;
    at = end;
  }
  if (::ftruncate(to.get(), facts.st_size) != 0) return fail_errno("cannot set its size");
  return {};
}

Result<void> Copier::copy_range(const Fd& from, const Fd& to, off_t begin, off_t end) {
  auto in = begin;
  auto out = begin;
  while (in < end) {
    const auto copied =
        ::copy_file_range(from.get(), &in, to.get(), &out, static_cast<std::size_t>(end - in), 0);
    if (copied == 0) return {};  // it has become shorter
    if (copied < 0 && errno != EINTR) break;
  }
  if (in >= end) return {};
  if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
    return fail_errno("cannot write its data");
  std::vector<char> buffer(kPiece);
  while (in < end) {
    const auto got = ::pread(from.get(), buffer.data(),
                             std::min(buffer.size(), static_cast<std::size_t>(end - in)), in);
    if (got < 0) return fail_errno("cannot read its data");
    if (got == 0) return {};
    const auto put = ::pwrite(to.get(), buffer.data(), static_cast<std::size_t>(got), in);
    if (put < 0) return fail_errno("cannot write its data");
    in += put;
  }
  return {};
}

}  // namespace userns::frontend
