#include "frontend/start/mounts/source_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <deque>
#include <optional>
#include <string_view>
#include <utility>

#include "common/fd.h"
#include "frontend/start/ids/callers_ids.h"
#include "frontend/start/mounts/destination.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr int kMostLinks = 40;  // as the kernel has it

bool contains(const std::vector<IdRange>& ranges, std::uint32_t id) {
  const auto one = IdRange::make(id, 1);
  return one && std::ranges::any_of(ranges, [&](const IdRange& r) { return r.contains(*one); });
}

void add_outside(const ChosenMap& map, std::vector<IdRange>& ranges) {
  for (const auto& extent : map.extents) ranges.push_back(extent.outside());
}

// --- who may write to a directory -----------------------------------------------------------

// The named entries of an ACL, as acl(5) lists them and linux/posix_acl_xattr.h stores them.
struct AclEntry {
  std::uint16_t tag;
  std::uint16_t permissions;
  std::uint32_t id;
};
constexpr std::uint16_t kAclUser = 0x02;
constexpr std::uint16_t kAclGroup = 0x08;
constexpr unsigned kAclWrite = 2;

bool acl_lets_write(const Fd& dir, const ContainerIds& ids) {
  std::array<char, 4096> value{};
  // An O_PATH fd has no attributes of its own; its name in /proc has.
  const auto size = ::getxattr(concat("/proc/self/fd/", dir.get()).c_str(),
                               "system.posix_acl_access", value.data(), value.size());
  if (size < 0) return errno == ERANGE;  // too long to be looked through
  for (std::size_t at = 4; at + sizeof(AclEntry) <= static_cast<std::size_t>(size);
       at += sizeof(AclEntry)) {
    AclEntry entry{};
    std::memcpy(&entry, value.data() + at, sizeof entry);
    if ((entry.permissions & kAclWrite) == 0) continue;
    if (entry.tag == kAclUser && ids.has_uid(entry.id)) return true;
    if (entry.tag == kAclGroup && ids.has_gid(entry.id)) return true;
  }
  return false;
}

enum class Sticky : std::uint8_t { kHolds, kIsNothing };

// Whether a container's id can put a link or a device of another owner's there, by moving it.
// Where the directory is sticky, only its own take the place of what is there already.
bool is_writable_by(const Fd& dir, const ContainerIds& ids, Sticky sticky = Sticky::kHolds) {
  struct stat facts{};
  if (::fstat(dir.get(), &facts) != 0) return true;
  if (ids.has_uid(facts.st_uid)) return true;
  if ((facts.st_mode & S_ISVTX) != 0 && sticky == Sticky::kHolds) return false;
  if ((facts.st_mode & S_IWOTH) != 0) return true;
  if ((facts.st_mode & S_IWGRP) == 0) return false;  // this is an ACL's mask, too
  return ids.has_gid(facts.st_gid) || acl_lets_write(dir, ids);
}

// --- the walk -------------------------------------------------------------------------------

class SourceWalk {
 public:
  SourceWalk(const std::string& path, const ContainerIds& ids) : path_(path), ids_(ids) {}

  // After run(): whether a container can have put there what `path` names now.
  [[nodiscard]] bool is_in_reach() const { return doubtful_ || last_is_open_; }

  Result<std::string> run() {
    add_names(path_);
    TRY(begin(path_.starts_with('/')));
    while (!names_.empty()) {
      const auto name = std::move(names_.front());
      names_.pop_front();
      TRY(take(name));
    }
    return plain_.empty() ? std::string(".") : plain_;
  }

 private:
  Result<void> begin(bool at_root) {
    auto opened = TRY(open_at(AT_FDCWD, at_root ? "/" : ".", O_PATH | O_DIRECTORY));
    dir_ = std::move(opened);
    plain_ = at_root ? "/" : "";
    return {};
  }

  // Before those that are still to come.
  void add_names(std::string_view path) {
    std::deque<std::string> fresh;
    while (!path.empty())
      if (const auto name = take_until(path, '/'); !name.empty() && name != ".")
        fresh.emplace_back(name);
    names_.insert(names_.begin(), fresh.begin(), fresh.end());
  }

  [[nodiscard]] std::string with(std::string_view name) const {
    return concat(plain_, plain_.empty() || plain_.ends_with('/') ? "" : "/", name);
  }

  Result<void> take(const std::string& name) {
    doubtful_ = doubtful_ || is_writable_by(dir_, ids_);
    last_is_open_ = is_writable_by(dir_, ids_, Sticky::kIsNothing);
    auto next = open_at(dir_.get(), name.c_str(), O_PATH | O_NOFOLLOW);
    struct stat facts{};
    if (!next || ::fstat(next->get(), &facts) != 0)
      return fail({}, concat("cannot reach ", quoted(with(name))),
                  next ? errno : next.error().code);
    if (S_ISLNK(facts.st_mode)) return follow(name, *next, facts);
    plain_ = with(name);
    if (!names_.empty() && !S_ISDIR(facts.st_mode))
      return fail({}, concat("cannot reach ", quoted(with(names_.front()))), ENOTDIR);
    dir_ = std::move(*next);
    return {};
  }

  Result<void> follow(const std::string& name, const Fd& link, const struct stat& facts) {
    if (doubtful_ || ids_.has_uid(facts.st_uid)) return refuse(name, facts);
    std::string target(PATH_MAX, '\0');
    const auto size = ::readlinkat(link.get(), "", target.data(), target.size());
    if (size <= 0) return fail_errno(concat("cannot read the link ", quoted(with(name))));
    target.resize(static_cast<std::size_t>(size));
    if (++links_ > kMostLinks) return fail({}, concat("cannot reach ", quoted(path_)), ELOOP);
    add_names(target);
    return target.starts_with('/') ? begin(true) : Result<void>{};
  }

  [[nodiscard]] std::unexpected<Error> refuse(const std::string& name,
                                              const struct stat& facts) const {
    const auto why =
        ids_.has_uid(facts.st_uid)
            ? concat("it belongs to uid ", facts.st_uid, ", which a container can have")
            : std::string("a container can write to a directory that it is in");
    return fail({}, concat("cannot use ", quoted(path_), ": ", quoted(with(name)),
                           " on its way is a symbolic link, and ", why,
                           ": give the path that it leads to, if that is meant"));
  }

  const std::string& path_;
  const ContainerIds& ids_;
  std::deque<std::string> names_;  // still to take
  Fd dir_;
  std::string plain_;
  bool doubtful_ = false;      // a container can move what is below
  bool last_is_open_ = false;  // a container can put something into the last directory
  int links_ = 0;
};

}  // namespace

ContainerIds ContainerIds::find(const ChosenIds& chosen) {
  ContainerIds ids;
  add_outside(chosen.uids, ids.uids_);
  add_outside(chosen.gids, ids.gids_);
  const auto callers = CallersIds::find();
  if (callers && callers->owns_namespace()) return ids;
  ids.only_trusts_root_ = !callers || ::geteuid() == 0;
  if (ids.only_trusts_root_) return ids;
  const auto facts = callers->facts();
  ids.uids_.insert(ids.uids_.end(), facts.uids.ranges.begin(), facts.uids.ranges.end());
  ids.gids_.insert(ids.gids_.end(), facts.gids.ranges.begin(), facts.gids.ranges.end());
  return ids;
}

bool ContainerIds::has_uid(std::uint32_t uid) const {
  if (uid == ::geteuid()) return false;
  return contains(uids_, uid) || (only_trusts_root_ && uid != 0);
}

bool ContainerIds::has_gid(std::uint32_t gid) const {
  if (gid == ::getegid()) return false;
  return contains(gids_, gid) || (only_trusts_root_ && gid != 0);
}

Result<std::string> plain_source(const std::string& path, const ChosenIds& chosen) {
  const auto as_it_is = open_at(AT_FDCWD, path.c_str(), O_PATH, RESOLVE_NO_SYMLINKS);
  if (as_it_is || as_it_is.error().code != ELOOP) return path;  // what is wrong is said elsewhere
  auto plain = SourceWalk(path, ContainerIds::find(chosen)).run();
  if (plain || plain.error().code == 0) return plain;
  return fail({}, concat("cannot use ", quoted(path), why_unreachable(path)), plain.error().code);
}

Result<bool> is_device_of_callers(const std::string& path, const ChosenIds& chosen) {
  struct stat facts{};
  const auto place = open_plain_source(path);
  if (!place || ::fstat(place->get(), &facts) != 0) return false;  // what is wrong is said later
  if (!S_ISCHR(facts.st_mode) && !S_ISBLK(facts.st_mode)) return false;
  const auto ids = ContainerIds::find(chosen);
  SourceWalk walk(path, ids);
  if (walk.run() && !walk.is_in_reach() && !ids.has_uid(facts.st_uid)) return true;
  return fail({}, concat("cannot use ", quoted(path),
                         ": it is a device, and a container can have put it there, because it can "
                         "write to a directory that it is in, or owns it: bind the device by its "
                         "name in /dev, if that is meant"));
}

Result<Fd> open_plain_source(const std::string& path) {
  return open_at(AT_FDCWD, path.c_str(), O_PATH, RESOLVE_NO_SYMLINKS);
}

}  // namespace userns::frontend
