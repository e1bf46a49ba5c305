#include "frontend/rootfs/unpack.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "frontend/rootfs/archive/path_names.h"
#include "frontend/rootfs/remove.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::uint64_t kPerEntry = 4096;
constexpr std::uint64_t kFewestEntries =
    10'000'000;  // where a file system does not say how many it takes
constexpr std::uint64_t kSlack = 64UL << 20U;
constexpr unsigned kSpecialBits = 07000;
constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

// One that names users of another system by their names alone is left out.
void add_acl(archive_entry* entry, int type, const char* name, std::vector<Attribute>& attributes,
             std::uint64_t& left_out) {
  if (::archive_entry_acl_reset(entry, type) == 0) return;
  std::vector<AclEntry> entries;
  int kind = 0;
  int permissions = 0;
  int tag = 0;
  int id = 0;
  const char* who = nullptr;
  while (::archive_entry_acl_next(entry, type, &kind, &permissions, &tag, &id, &who) ==
         ARCHIVE_OK) {
    std::uint16_t code = 0;
    switch (tag) {
      case ARCHIVE_ENTRY_ACL_USER_OBJ:
        code = 0x01;
        break;
      case ARCHIVE_ENTRY_ACL_USER:
        code = 0x02;
        break;
      case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
        code = 0x04;
        break;
      case ARCHIVE_ENTRY_ACL_GROUP:
        code = 0x08;
        break;
      case ARCHIVE_ENTRY_ACL_MASK:
        code = 0x10;
        break;
      case ARCHIVE_ENTRY_ACL_OTHER:
        code = 0x20;
        break;
      default:
        continue;
    }
    const bool named = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;
    if (named && id < 0) {  // tar writes numbers as names
      const auto number = parse_decimal(who == nullptr ? "" : who);
      if (!number || *number > kLargestId) {
        ++left_out;
        return;
      }
      id = static_cast<int>(*number);
    }
    entries.push_back({.tag = code,
                       .permissions = static_cast<std::uint16_t>(permissions & 07),
                       .id = static_cast<std::uint32_t>(id)});
  }
  // Three entries are the mode, no more.
  if (entries.size() > 3 || (type == ARCHIVE_ENTRY_ACL_TYPE_DEFAULT && !entries.empty()))
    attributes.push_back({name, acl_value(std::move(entries))});
}

std::vector<Attribute> attributes_of(archive_entry* entry, std::uint64_t& left_out) {
  std::vector<Attribute> attributes;
  if (::archive_entry_acl_types(entry) != 0) {
    add_acl(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, kAccessAcl, attributes, left_out);
    add_acl(entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, kDefaultAcl, attributes, left_out);
  }
  ::archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (::archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    const std::string_view text(static_cast<const char*>(value), size);
    if (!is_taken(name))
      ++left_out;
    else
      attributes.push_back({name, std::string_view(name) == kCapability
                                      ? without_namespace_root(text)
                                      : std::string(text)});
  }
  return attributes;
}

std::unexpected<Error> about(std::string_view path, const Error& error) {
  return fail({}, concat("cannot unpack ", quoted(path), ": ", error.text), error.code);
}

bool is_nothing(const Error& error) { return error.code == ENOENT || error.code == ENOTDIR; }

}  // namespace

UnpackLimits default_limits(const Fd& directory) {
  struct statvfs facts{};
  if (::fstatvfs(directory.get(), &facts) != 0)
    return {.bytes = std::uint64_t{1} << 33U, .entries = kFewestEntries};
  return {.bytes = facts.f_bavail * facts.f_frsize / 2,
          .entries = facts.f_files == 0 ? kFewestEntries : facts.f_favail / 2};
}

Unpacker::Unpacker(const Fd& top, UnpackLimits limits,
                   std::function<void(const UnpackCounts&)> on_progress)
    : top_(top),
      walk_(top),
      limits_(limits),
      cpu_(limits.cpu),
      on_progress_(std::move(on_progress)) {
  // What is made gets the mode that the archive says, not what the directory's place would hand
  // down.
  ::umask(0);
  (void)::fchmod(top_.get(), 0755);
  (void)::fremovexattr(top_.get(), kAccessAcl);
  (void)::fremovexattr(top_.get(), kDefaultAcl);
}

Unpacker::Unpacker(const Fd& top, UnpackLimits limits, UnpackBeside beside)
    : top_(top),
      beside_(std::move(beside)),
      walk_(top, beside_->enters_mounts),
      limits_(limits),
      cpu_(limits.cpu) {
  ::umask(0);
}

// Where a path of the archive is from the top.
std::string Unpacker::placed(std::string_view path) const {
  if (!beside_) return std::string(path);
  const auto names = path_names(path);
  if (!names) return std::string(path);  // refused where it is looked at
  auto all = *names;
  if (!beside_->first_name.empty() && !all.empty()) all.front() = beside_->first_name;
  return concat(beside_->below, "/", joined(all));
}

Result<void> Unpacker::add(Source& source, bool layer) {
  auto reader = TRY(TarReader::open(source));
  of_layer_.clear();
  emptied_.clear();
  while (true) {
    const auto entry = TRY(reader.next());
    if (entry == nullptr) break;
    auto added = add_entry(reader, entry, layer);
    if (added) added = read_rest(reader);
    if (!added) return about(path_of(entry), added.error());
    show_progress();
  }
  read_before_ += reader.bytes();
  if (counts_.entries == 0 && !layer) return fail({}, "the archive is empty");
  return {};
}

Result<void> Unpacker::check_limits(const TarReader& reader) {
  const auto read = read_before_ + reader.bytes();
  if (auto within = cpu_.check(read); !within) return within;
  if (counts_.entries > limits_.entries)
    return fail({}, concat("the archive has more than ", limits_.entries,
                           " entries, half of the files that the file system has room for"));
  const bool too_large = counts_.bytes + kPerEntry * counts_.entries > limits_.bytes ||
                         read > 2 * limits_.bytes + kSlack;  // data of entries that are left out
  if (!too_large) return {};
  return fail({}, concat("the archive unpacks to more than ", limits_.bytes,
                         " bytes; --max-size allows more (without it, half of what is free)"));
}

// Data that nobody wanted: the library would read on for as long as it takes.
Result<void> Unpacker::read_rest(TarReader& reader) {
  while (true) {
    const auto piece = TRY(reader.data());
    if (!piece) return {};
    if (auto within = check_limits(reader); !within) return within;
  }
}

void Unpacker::show_progress() {
  if (!on_progress_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - shown_ < std::chrono::milliseconds(100)) return;
  shown_ = now;
  on_progress_(counts_);
}

Result<void> Unpacker::add_entry(TarReader& reader, archive_entry* entry, bool layer) {
  ++counts_.entries;
  if (auto within = check_limits(reader); !within) return within;
  if (path_of(entry).empty()) return fail({}, "the entry has no name");
  const auto path = placed(path_of(entry));
  const auto names = TRY(path_names(path));
  if (layer && !names.empty() && names.back().starts_with(kWhiteout)) return white_out(names);
  if (layer) of_layer_.insert(joined(names));
  return make(reader, entry, names);
}

Result<void> Unpacker::make(TarReader& reader, archive_entry* entry, const Names& names) {
  if (::archive_entry_hardlink(entry) != nullptr) {
    if (names.empty()) return fail({}, "the root cannot be a link");
    return make_hard_link(entry, names);
  }
  const auto type = ::archive_entry_filetype(entry);
  auto facts = TRY(facts_of(entry));
  if (names.empty() && beside_ && type == AE_IFDIR) return {};
  if (names.empty()) {
    if (type != AE_IFDIR) return fail({}, "the root is not a directory in this archive");
    directories_[""] = std::move(facts);
    return {};
  }
  const auto parent = TRY(walk_.parent_of(names, true));
  const Place place{parent, std::string(names.back())};
  switch (type) {
    case AE_IFDIR:
      return make_directory(names, place, std::move(facts));
    case AE_IFREG:
      return make_file(reader, entry, place, facts);
    case AE_IFLNK:
      return make_link(entry, place, facts);
    case AE_IFIFO:
      return make_fifo(place, facts);
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFSOCK:
      return make_socket_or_device(names, place);
    default:
      return fail({}, "the entry is of an unknown type");
  }
}

Result<Unpacker::Owner> Unpacker::owner_of(archive_entry* entry) const {
  const auto uid = ::archive_entry_uid(entry);
  const auto gid = ::archive_entry_gid(entry);
  if (uid < 0 || gid < 0 || static_cast<std::uint64_t>(uid) > kLargestId ||
      static_cast<std::uint64_t>(gid) > kLargestId)
    return fail({}, "its owner is not an id");
  return Owner{static_cast<std::uint32_t>(uid), static_cast<std::uint32_t>(gid)};
}

Result<Unpacker::Facts> Unpacker::facts_of(archive_entry* entry) {
  const auto owner = TRY(owner_of(entry));
  constexpr unsigned kPlainBits = 01777;
  Facts facts{.owner = beside_ && beside_->owner
                           ? Owner{beside_->owner->first, beside_->owner->second}
                           : owner,
              .mode = static_cast<unsigned>(::archive_entry_perm(entry)) & 07777U,
              .modified = {.tv_sec = ::archive_entry_mtime(entry),
                           .tv_nsec = ::archive_entry_mtime_nsec(entry)},
              .attributes = attributes_of(entry, counts_.attributes)};
  if (facts.modified.tv_nsec < 0 || facts.modified.tv_nsec > 999'999'999)
    facts.modified.tv_nsec = 0;
  if (!beside_ || !beside_->plain) return facts;
  facts.mode &= kPlainBits;
  std::erase_if(facts.attributes, [](const auto& one) { return !one.name.starts_with("user."); });
  return facts;
}

// Makes room for something new. What the walk remembers stays true: it never leads through the
// place itself.
Result<void> Unpacker::clear(const Place& place) {
  if (::unlinkat(place.first, place.second.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR) return fail_errno("cannot replace what is there");
  if (beside_) return fail({}, "there is a directory in its place: remove that first", EISDIR);
  return remove_inside(place.first, place.second);
}

static std::unexpected<Error> not_mapped(std::uint32_t uid, std::uint32_t gid) {
  return fail(
      {},
      concat(
          "it belongs to ", uid, ":", gid,
          ", and one of these ids is not mapped inside: give the container more ids, with --map"));
}

// Owner first (it takes setuid bits and capabilities away), then mode, attributes, and the time
// last. What is made is 0:0 with the mode's lower bits already: directories get theirs at the end,
// so none hands down a group or an ACL.
Result<void> Unpacker::dress(int file, const Facts& facts) {
  if ((facts.owner.uid != 0 || facts.owner.gid != 0) &&
      ::fchown(file, facts.owner.uid, facts.owner.gid) != 0)
    return errno == EINVAL ? Result<void>(not_mapped(facts.owner.uid, facts.owner.gid))
                           : fail_errno("cannot set its owner");
  if ((facts.mode & kSpecialBits) != 0 && ::fchmod(file, facts.mode) != 0)
    return fail_errno("cannot set its mode");
  if (!facts.attributes.empty()) {
    const auto not_kept = TRY(set_attributes(file, facts.attributes));
    counts_.attributes += not_kept;
  }
  const timespec times[2] = {facts.modified, facts.modified};
  if (::futimens(file, times) != 0) return fail_errno("cannot set its time");
  return {};
}

// Whether what is in the place of a directory is used as it is.
bool Unpacker::stays(const Names& names, const struct stat& there) const {
  if (!beside_) return false;
  if (S_ISDIR(there.st_mode)) return true;
  if (!S_ISLNK(there.st_mode) || !beside_->keeps_links) return false;
  return open_at(top_.get(), joined(names).c_str(), O_PATH | O_DIRECTORY,
                 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
      .has_value();
}

Result<void> Unpacker::make_directory(const Names& names, const Place& place, Facts facts) {
  if (::mkdirat(place.first, place.second.c_str(), 0700) != 0) {
    struct stat there{};
    if (errno != EEXIST ||
        ::fstatat(place.first, place.second.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno("cannot make the directory");
    if (stays(names, there)) return {};
    // As cp(1) has it: a file of the caller's does not go for a directory of a stranger's.
    if (beside_ && !S_ISLNK(there.st_mode))
      return fail({}, "there is a file in its place: remove that first", ENOTDIR);
    if (!S_ISDIR(there.st_mode)) {
      if (auto cleared = clear(place); !cleared) return cleared;
      if (::mkdirat(place.first, place.second.c_str(), 0700) != 0)
        return fail_errno("cannot make the directory");
    }
  }
  directories_[joined(names)] = std::move(facts);
  return {};
}

Result<void> Unpacker::write_data(TarReader& reader, const Fd& file, std::uint64_t size) {
  std::uint64_t at = 0;
  while (true) {
    const auto piece = TRY(reader.data());
    if (!piece) break;
    counts_.bytes += piece->data.size();
    if (auto within = check_limits(reader); !within) return within;
    if (piece->offset != at && ::lseek(file.get(), static_cast<off_t>(piece->offset), SEEK_SET) < 0)
      return fail_errno("cannot leave a hole in it");
    if (auto written = write_all(file, piece->data); !written) return written;
    at = piece->offset + piece->data.size();
    show_progress();
  }
  // A hole at the end.
  if (at < size && ::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    return fail_errno("cannot set its size");
  return {};
}

Result<void> Unpacker::make_file(TarReader& reader, archive_entry* entry, const Place& place,
                                 const Facts& facts) {
  constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const auto size = ::archive_entry_size(entry);
  if (size < 0) return fail({}, "its size is negative");
  const unsigned mode = facts.mode & ~kSpecialBits;
  Fd file(::openat(place.first, place.second.c_str(), kNew, mode));
  if (!file.valid() && errno == EEXIST) {
    if (auto cleared = clear(place); !cleared) return cleared;
    file.reset(::openat(place.first, place.second.c_str(), kNew, mode));
  }
  if (!file.valid()) return fail_errno("cannot make the file");
  if (auto written = write_data(reader, file, static_cast<std::uint64_t>(size)); !written)
    return written;
  return dress(file.get(), facts);
}

Result<void> Unpacker::make_link(archive_entry* entry, const Place& place, const Facts& facts) {
  const char* const target = ::archive_entry_symlink(entry);
  if (target == nullptr || target[0] == '\0') return fail({}, "the link leads nowhere");
  if (::symlinkat(target, place.first, place.second.c_str()) != 0) {
    if (errno != EEXIST) return fail_errno("cannot make the link");
    if (auto cleared = clear(place); !cleared) return cleared;
    if (::symlinkat(target, place.first, place.second.c_str()) != 0)
      return fail_errno("cannot make the link");
  }
  if ((facts.owner.uid != 0 || facts.owner.gid != 0) &&
      ::fchownat(place.first, place.second.c_str(), facts.owner.uid, facts.owner.gid,
                 AT_SYMLINK_NOFOLLOW) != 0)
    return errno == EINVAL ? Result<void>(not_mapped(facts.owner.uid, facts.owner.gid))
                           : fail_errno("cannot set its owner");
  const timespec times[2] = {facts.modified, facts.modified};
  if (::utimensat(place.first, place.second.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("cannot set its time");
  return {};
}

Result<void> Unpacker::make_fifo(const Place& place, const Facts& facts) {
  if (auto cleared = clear(place); !cleared) return cleared;
  if (::mkfifoat(place.first, place.second.c_str(), facts.mode) != 0)
    return fail_errno("cannot make the fifo");
  const Fd fifo(
      ::openat(place.first, place.second.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!fifo.valid()) return fail_errno("cannot open the fifo");
  return dress(fifo.get(), facts);
}

Result<void> Unpacker::make_socket_or_device(const Names& names, const Place& place) {
  ++counts_.devices;
  left_out_.insert(joined(names));
  return clear(place);
}

Result<void> Unpacker::make_hard_link(archive_entry* entry, const Names& names) {
  const auto target = placed(::archive_entry_hardlink(entry));
  const auto to = TRY(path_names(target));
  if (to.empty()) return fail({}, "it is a hard link to the root");
  if (left_out_.contains(joined(to))) {
    ++counts_.devices;
    left_out_.insert(joined(names));
    return {};
  }
  const auto from = TRY(walk_.parent_of(to, false));
  const auto held = open_at(from, ".", O_PATH | O_DIRECTORY);  // the walk goes on to another place
  const auto parent = TRY(held ? walk_.parent_of(names, true) : std::unexpected(held.error()));
  const std::string source(to.back());
  const Place place{parent, std::string(names.back())};
  if (::linkat(held->get(), source.c_str(), place.first, place.second.c_str(), 0) == 0) return {};
  if (errno == EEXIST && joined(to) != joined(names)) {
    if (auto cleared = clear(place); !cleared) return cleared;
    if (::linkat(held->get(), source.c_str(), place.first, place.second.c_str(), 0) == 0) return {};
  }
  return fail_errno(concat("cannot link it to ", quoted(target)));
}

// --- whiteouts --------------------------------------------------------------------------------

Result<void> Unpacker::white_out(Names names) {
  const auto last = names.back();
  names.pop_back();
  if (last == kOpaque) return hide_below(names);
  const auto hidden = last.substr(kWhiteout.size());
  if (last.starts_with(".wh..wh.")) return {};  // aufs's own
  if (hidden.empty() || hidden == "." || hidden == "..")
    return fail({}, "the whiteout names nothing");
  names.push_back(hidden);
  return hide(names);
}

// Takes `names` away, but for what this layer has put there.
Result<void> Unpacker::hide(const Names& names) {
  if (of_layer_.contains(joined(names))) return hide_below(names);
  const auto parent = walk_.parent_of(names, false);
  if (!parent) return is_nothing(parent.error()) ? Result<void>{} : std::unexpected(parent.error());
  const auto path = joined(names);
  const auto first_of_layer = of_layer_.lower_bound(concat(path, "/"));
  if (first_of_layer != of_layer_.end() && first_of_layer->starts_with(concat(path, "/")))
    return hide_below(names);
  if (auto removed = clear({*parent, std::string(names.back())}); !removed) return removed;
  return {};
}

Result<void> Unpacker::hide_below(const Names& names) {
  Fd directory;
  if (names.empty()) {
    auto opened = TRY(open_at(top_.get(), ".", O_RDONLY | O_DIRECTORY));
    directory = std::move(opened);
  } else {
    const auto parent = walk_.parent_of(names, false);
    if (!parent)
      return is_nothing(parent.error()) ? Result<void>{} : std::unexpected(parent.error());
    auto opened =
        open_at(*parent, std::string(names.back()).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!opened) return {};  // no directory: nothing below
    directory = std::move(*opened);
  }
  struct stat facts{};
  if (::fstat(directory.get(), &facts) != 0) return fail_errno("cannot look at the directory");
  // What has come into it since then is of this layer.
  if (!emptied_.insert(facts.st_ino).second) return {};
  std::vector<std::string> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(directory.get()), ::closedir);
  if (!entries) return fail_errno("cannot read the directory");
  (void)directory.release();
  while (const dirent* entry = ::readdir(entries.get()))
    if (const std::string_view name = entry->d_name; name != "." && name != "..")
      found.emplace_back(name);
  for (const auto& name : found) {
    auto below = names;
    below.emplace_back(name);
    if (auto hidden = hide(below); !hidden) return hidden;
  }
  return {};
}

// --- the end ----------------------------------------------------------------------------------

Result<void> Unpacker::finish_directory(const std::string& path, const Facts& facts) {
  const auto names = TRY(path_names(path));
  const auto parent = names.empty() ? Result<int>(top_.get()) : walk_.parent_of(names, false);
  if (!parent) return {};  // a later layer took it away
  const std::string name(names.empty() ? "." : names.back());
  const auto directory = open_at(*parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) return {};
  if (auto dressed = dress(directory->get(), facts); !dressed) return dressed;
  if (::fchmod(directory->get(), facts.mode) != 0) return fail_errno("cannot set its mode");
  const timespec times[2] = {facts.modified, facts.modified};
  if (::futimens(directory->get(), times) != 0) return fail_errno("cannot set its time");
  return {};
}

Result<void> Unpacker::finish() {
  // What is deeper comes first: nothing is made in a directory any more after its time was set.
  for (auto one = directories_.rbegin(); one != directories_.rend(); ++one)
    if (auto finished = finish_directory(one->first, one->second); !finished)
      return about(one->first, finished.error());
  if (on_progress_) on_progress_(counts_);
  return {};
}

}  // namespace userns::frontend
