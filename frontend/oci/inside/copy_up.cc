#include "frontend/oci/inside/copy_up.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string>

#include "frontend/store/files.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr unsigned long long kHere = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
constexpr int kDeepest = 100;

struct Entry {
  const Fd& from;
  const Fd& to;
  const std::string& name;
  struct stat facts;
  int depth;
};

Result<void> copy_directory(const Fd& from, const Fd& to, int depth);

std::unexpected<Error> failed(const Entry& entry) {
  return fail_errno(concat("cannot copy ", quoted(entry.name), " up (tmpcopyup)"));
}

// The owner first: a change of it takes setuid bits away.
Result<void> give(const Entry& entry) {
  const char* const name = entry.name.c_str();
  if (::fchownat(entry.to.get(), name, entry.facts.st_uid, entry.facts.st_gid,
                 AT_SYMLINK_NOFOLLOW) != 0 &&
      errno != EPERM && errno != EINVAL)
    return failed(entry);
  if (!S_ISLNK(entry.facts.st_mode) &&
      ::fchmodat(entry.to.get(), name, entry.facts.st_mode & 07777U, 0) != 0)
    return failed(entry);
  return {};
}

Result<void> copy_link(const Entry& entry) {
  std::array<char, PATH_MAX> target{};
  const auto size =
      ::readlinkat(entry.from.get(), entry.name.c_str(), target.data(), target.size() - 1);
  if (size < 0 || ::symlinkat(target.data(), entry.to.get(), entry.name.c_str()) != 0)
    return failed(entry);
  return give(entry);
}

Result<void> copy_file(const Entry& entry) {
  const auto from = open_at(entry.from.get(), entry.name.c_str(), O_RDONLY | O_NONBLOCK, kHere);
  const auto to =
      open_at(entry.to.get(), entry.name.c_str(), O_WRONLY | O_CREAT | O_EXCL, kHere, 0600);
  if (!from) return std::unexpected(from.error());
  if (!to) return std::unexpected(to.error());
  constexpr std::size_t kPiece = 1UL << 20U;
  ssize_t sent = 1;
  while (sent > 0) sent = ::sendfile(to->get(), from->get(), nullptr, kPiece);
  return sent < 0 ? failed(entry) : give(entry);
}

Result<void> copy_below(const Entry& entry) {
  if (::mkdirat(entry.to.get(), entry.name.c_str(), 0700) != 0) return failed(entry);
  constexpr int kFlags = O_RDONLY | O_DIRECTORY;
  const auto from = open_at(entry.from.get(), entry.name.c_str(), kFlags, kHere);
  const auto to = open_at(entry.to.get(), entry.name.c_str(), kFlags, kHere);
  // What is mounted there is not part of it.
  if (!from && from.error().code == EXDEV) return give(entry);
  if (!from) return std::unexpected(from.error());
  if (!to) return std::unexpected(to.error());
  if (auto copied = copy_directory(*from, *to, entry.depth + 1); !copied) return copied;
  return give(entry);
}

Result<void> copy_entry(const Entry& entry) {
  if (S_ISDIR(entry.facts.st_mode)) return copy_below(entry);
  if (S_ISREG(entry.facts.st_mode)) return copy_file(entry);
  if (S_ISLNK(entry.facts.st_mode)) return copy_link(entry);
  return {};
}

Result<void> copy_directory(const Fd& from, const Fd& to, int depth) {
  if (depth > kDeepest) return fail({}, "cannot copy up (tmpcopyup): the tree is too deep");
  const auto names = TRY(list_directory(from));
  for (const auto& name : names) {
    struct stat facts{};
    if (::fstatat(from.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (auto copied = copy_entry({from, to, name, facts, depth}); !copied) return copied;
  }
  return {};
}

}  // namespace

Result<void> copy_up(const Fd& from, const Fd& to, CopyTop top) {
  struct stat facts{};
  if (::fstat(from.get(), &facts) != 0) return fail_errno("cannot look at what is copied up");
  auto copied = copy_directory(from, to, 0);
  if (!copied || top == CopyTop::kNo) return copied;
  if (::fchownat(to.get(), ".", facts.st_uid, facts.st_gid, 0) != 0 && errno != EPERM &&
      errno != EINVAL)
    return fail_errno("cannot give a tmpfs its owner (tmpcopyup)");
  if (::fchmodat(to.get(), ".", facts.st_mode & 07777U, 0) != 0)
    return fail_errno("cannot give a tmpfs its mode (tmpcopyup)");
  return {};
}

}  // namespace userns::frontend
