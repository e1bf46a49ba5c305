#include "frontend/shift/inode.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::shift {
namespace {

constexpr const char* kAccessAcl = "system.posix_acl_access";
constexpr const char* kDefaultAcl = "system.posix_acl_default";
constexpr const char* kCapability = "security.capability";
constexpr std::size_t kMostXattr = 65536;  // XATTR_SIZE_MAX, XATTR_LIST_MAX
// Ours and a label of SELinux. The kernel allocates what it is asked for, for each inode.
constexpr std::size_t kFewNames = 128;
constexpr std::uint32_t kPermissions = 07777;  // as chmod(2) takes them

constexpr long kListxattrat = 465;                 // <asm/unistd.h> of Linux 6.13
constexpr long kFchmodat2 = 452;                   // of Linux 6.6
constexpr unsigned long long kKnowMount = 0x1000;  // STATX_MNT_ID, of Linux 5.8

int flags_for(Spot spot) {
  return AT_SYMLINK_NOFOLLOW | (spot.name[0] == '\0' ? AT_EMPTY_PATH : 0);
}

// A path of the spot for the calls that take no fd. Its last word is followed where it is a magic
// link to what `at` is, and not where it is a name: that is what `l` is for.
struct ByPath {
  explicit ByPath(Spot spot) : follow(spot.name[0] == '\0') {
    (void)std::snprintf(path.data(), path.size(),
                        follow ? "/proc/self/fd/%d" : "/proc/self/fd/%d/%s", spot.at, spot.name);
  }
  std::array<char, 300> path{};  // NAME_MAX is 255
  bool follow;
};

ssize_t list_xattrs(Spot spot, char* buffer, std::size_t size) {
  static std::atomic<bool> is_known{true};  // by this kernel
  if (spot.name[0] != '\0' && is_known.load(std::memory_order_relaxed)) {
    const auto listed =
        ::syscall(kListxattrat, spot.at, spot.name, AT_SYMLINK_NOFOLLOW, buffer, size);
    if (listed >= 0 || errno != ENOSYS) return listed;
    is_known = false;
  }
  const ByPath by(spot);
  return by.follow ? ::listxattr(by.path.data(), buffer, size)
                   : ::llistxattr(by.path.data(), buffer, size);
}

Result<std::string> read_xattr(Spot spot, const char* name) {
  const ByPath by(spot);
  std::string value(256, '\0');
  while (true) {
    const auto got = by.follow ? ::getxattr(by.path.data(), name, value.data(), value.size())
                               : ::lgetxattr(by.path.data(), name, value.data(), value.size());
    if (got >= 0) {
      value.resize(static_cast<std::size_t>(got));
      return value;
    }
    if (errno == ENODATA) return std::string{};
    if (errno == EOVERFLOW)
      return fail({}, "its file capabilities are those of a root that is not mapped here", errno);
    if (errno != ERANGE || value.size() == kMostXattr)
      return fail_errno(concat("cannot read its ", name));
    value.resize(kMostXattr);
  }
}

// Where the text is empty it is removed.
Result<void> write_xattr(Spot spot, const char* name, const std::string& value) {
  const ByPath by(spot);
  const int done = value.empty() ? (by.follow ? ::removexattr(by.path.data(), name)
                                              : ::lremovexattr(by.path.data(), name))
                   : by.follow   ? ::setxattr(by.path.data(), name, value.data(), value.size(), 0)
                                 : ::lsetxattr(by.path.data(), name, value.data(), value.size(), 0);
  if (done == 0 || (value.empty() && errno == ENODATA)) return {};
  return fail_errno(concat("cannot write its ", name));
}

Result<void> change_mode(Spot spot, std::uint32_t mode) {
  if (::syscall(kFchmodat2, spot.at, spot.name, mode, flags_for(spot)) == 0) return {};
  // Sandboxes that do not know the call say EPERM.
  if (errno != ENOSYS && errno != EPERM) return fail_errno("cannot give it its mode again");
  const ByPath by(spot);
  if (!by.follow)
    return fail_errno("cannot give it its mode again");  // chmod(2) would follow a symlink
  if (::chmod(by.path.data(), mode) != 0) return fail_errno("cannot give it its mode again");
  return {};
}

}  // namespace

Result<Fd> hold(int directory, const char* name) {
  Fd held(::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!held.valid()) return fail_errno("cannot be reached");
  return held;
}

Result<Facts> look(Spot spot) {
  struct statx seen{};
  constexpr auto kWanted = STATX_BASIC_STATS | STATX_BTIME | static_cast<unsigned>(kKnowMount);
  if (::statx(spot.at, spot.name, flags_for(spot) | AT_NO_AUTOMOUNT, kWanted, &seen) != 0)
    return fail_errno("cannot be looked at");
  constexpr std::uint64_t kSecond = 1'000'000'000;
  Facts facts;
  facts.key = {.dev = ::makedev(seen.stx_dev_major, seen.stx_dev_minor), .ino = seen.stx_ino};
  if ((seen.stx_mask & STATX_BTIME) != 0)
    facts.born =
        static_cast<std::uint64_t>(seen.stx_btime.tv_sec) * kSecond + seen.stx_btime.tv_nsec;
  facts.modified =
      seen.stx_mtime.tv_sec * static_cast<std::int64_t>(kSecond) + seen.stx_mtime.tv_nsec;
  if ((seen.stx_mask & kKnowMount) != 0) facts.mount = seen.stx_mnt_id;
  facts.links = seen.stx_nlink;
  facts.uid = seen.stx_uid;
  facts.gid = seen.stx_gid;
  facts.mode = seen.stx_mode;
  facts.device = S_ISBLK(seen.stx_mode) ||
                 (S_ISCHR(seen.stx_mode) && (seen.stx_rdev_major != 0 || seen.stx_rdev_minor != 0));
  facts.fixed = (seen.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0;
  return facts;
}

Result<Attributes> attributes(Spot spot, std::uint32_t mode) {
  if (S_ISLNK(mode)) return Attributes{};  // Linux gives symlinks none of these
  std::array<char, kFewNames> few;         // NOLINT(*-member-init): filled by the kernel
  std::string many;
  auto size = list_xattrs(spot, few.data(), few.size());
  const char* names = few.data();
  if (size < 0 && errno == ERANGE) {
    many.resize(kMostXattr);
    size = list_xattrs(spot, many.data(), many.size());
    names = many.data();
  }
  if (size < 0 && errno == ENOTSUP) return Attributes{};
  if (size < 0) return fail_errno("its attributes cannot be listed");
  Attributes found;
  for (std::string_view rest(names, static_cast<std::size_t>(size)); !rest.empty();) {
    const auto name = take_until(rest, '\0');
    found.access_acl |= name == kAccessAcl;
    found.default_acl |= name == kDefaultAcl;
    found.capability |= name == kCapability;
  }
  return found;
}

Result<InodeState> read_state(Spot spot, const Facts& facts, Attributes which) {
  InodeState state;
  state.uid = facts.uid;
  state.gid = facts.gid;
  state.mode = facts.mode;
  const struct {
    bool there;
    const char* name;
    std::string& value;
  } all[] = {{which.access_acl, kAccessAcl, state.access_acl},
             {which.default_acl, kDefaultAcl, state.default_acl},
             {which.capability, kCapability, state.capability}};
  for (const auto& one : all) {
    if (!one.there) continue;
    auto value = TRY(read_xattr(spot, one.name));
    one.value = std::move(value);
  }
  return state;
}

Result<void> make(Spot spot, const InodeState& now, const InodeState& target) {
  if (now.access_acl != target.access_acl)
    if (auto done = write_xattr(spot, kAccessAcl, target.access_acl); !done) return done;
  if (now.default_acl != target.default_acl)
    if (auto done = write_xattr(spot, kDefaultAcl, target.default_acl); !done) return done;
  const bool chowns = !now.same_owner(target);
  if (chowns && ::fchownat(spot.at, spot.name, target.uid, target.gid, flags_for(spot)) != 0)
    return fail_errno("cannot change its owner");
  if (chowns ? !target.capability.empty() : now.capability != target.capability)
    if (auto done = write_xattr(spot, kCapability, target.capability); !done) return done;
  const bool lost = chowns && !S_ISDIR(target.mode) && (target.mode & (S_ISUID | S_ISGID)) != 0;
  if (!lost && ((now.mode ^ target.mode) & kPermissions) == 0) return {};
  return change_mode(spot, target.mode & kPermissions);
}

}  // namespace userns::shift
