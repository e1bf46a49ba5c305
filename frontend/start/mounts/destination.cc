#include "frontend/start/mounts/destination.h"

#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string_view>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

Result<Fd> look_up(const Fd& root, const std::string& path, PlaceKind kind) {
  const int flags = O_PATH | (kind == PlaceKind::kDirectory ? O_DIRECTORY : 0);
  return open_at(root.get(), path.c_str(), flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

std::unexpected<Error> cannot_make(const std::string& path, int code) {
  std::string_view why = "it is missing and can't be made";
  if (code == EROFS) why = "it is missing, and the file system there is read-only: make it first";
  if (code == EPERM)
    why =
        "it is missing, and the directory that it belongs into is immutable: chattr -i it, or make "
        "it first";
  if (code == EACCES)
    why =
        "it is missing, and the container's root may not write where it belongs: make it first, or "
        "take a root file system (--rootfs) that userns-run shift has given to the container's ids";
  if (code == EEXIST) why = "a dangling symbolic link or another file is in its place";
  return fail({}, concat("cannot mount on ", quoted(path), " inside: ", why), code);
}

// The last component is made in `parent` itself: nothing is followed.
Result<void> make_in(const Fd& parent, const std::string& name, PlaceKind kind) {
  if (kind == PlaceKind::kDirectory) {
    if (::mkdirat(parent.get(), name.c_str(), 0755) != 0)
      return fail_errno("cannot make a directory");
    return {};
  }
  (void)TRY(open_at(parent.get(), name.c_str(), O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY,
                    RESOLVE_BENEATH, 0644));
  return {};
}

Result<Fd> look_up_or_make(const Fd& root, const std::string& path, PlaceKind kind) {
  auto found = look_up(root, path, kind);
  if (found || found.error().code != ENOENT) return found;
  const auto slash = path.rfind('/');
  const std::string parent_path =
      slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (parent_path == path || name.empty() || name == "." || name == "..") return found;
  const auto parent = TRY(look_up_or_make(root, parent_path, PlaceKind::kDirectory));
  const auto made = make_in(parent, name, kind);
  // Another container may start in the same tree, and have made it meanwhile.
  if (!made && made.error().code != EEXIST) return std::unexpected(made.error());
  found = look_up(root, path, kind);
  if (!found && !made) return std::unexpected(made.error());
  return found;
}

// "/etc/../run/x" is "/run/x": of a link's text, in which no other link stands in between as a
// rule.
std::string without_dots(std::string_view path) {
  std::string plain;
  while (!path.empty()) {
    const auto part = take_until(path, '/');
    if (part.empty() || part == ".") continue;
    if (part == "..")
      plain.resize(plain.empty() ? 0 : plain.rfind('/'));
    else
      plain += concat("/", part);
  }
  return plain.empty() ? "/" : plain;
}

std::string octal(unsigned mode) {
  std::string text;
  for (unsigned shift = 9; shift <= 9; shift -= 3)
    text += static_cast<char>('0' + (mode >> shift & 7U));
  return text;
}

}  // namespace

Result<Fd> place_inside(const Fd& root, const std::string& path, PlaceKind kind) {
  std::string plain = path;
  while (plain.size() > 1 && plain.ends_with('/')) plain.pop_back();
  auto place = look_up_or_make(root, plain, kind);
  if (place) return place;
  const int code = place.error().code;
  if (code == ENOTDIR)
    return fail({}, concat("cannot mount on ", quoted(path), " inside: it is not a directory"),
                code);
  if (code == ELOOP)
    return fail(
        {}, concat("cannot mount on ", quoted(path), " inside: its symbolic links go in circles"),
        code);
  return cannot_make(path, code);
}

std::string where_it_leads(const Fd& root, const std::string& path) {
  constexpr int kMost = 40;  // as the kernel follows
  constexpr std::string_view kOldRun = "/var/run/";
  std::string at = path;
  for (int links = 0; links < kMost; ++links) {
    const auto slash = at.rfind('/');
    const auto parent =
        look_up(root, slash == 0 ? "/" : at.substr(0, slash), PlaceKind::kDirectory);
    std::array<char, PATH_MAX> target{};
    const auto size = parent ? ::readlinkat(parent->get(), at.substr(slash + 1).c_str(),
                                            target.data(), target.size())
                             : -1;
    if (size <= 0) break;
    const std::string_view next(target.data(), static_cast<std::size_t>(size));
    at = without_dots(next.starts_with('/') ? std::string(next)
                                            : concat(at.substr(0, slash), "/", next));
  }
  return at.starts_with(kOldRun) ? concat("/run/", at.substr(kOldRun.size())) : at;
}

Result<Fd> place_behind_link(const Fd& root, const std::string& path) {
  return place_inside(root, where_it_leads(root, path), PlaceKind::kFile);
}

std::string why_unreachable(const std::string& path) {
  for (std::size_t end = path.find('/', 1); true; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    struct stat facts{};
    if (::stat(part.c_str(), &facts) != 0)  // of the whole path, errno will say it
      return errno == ENOENT && part != path ? concat("; ", quoted(part), " does not exist") : "";
    if (end == std::string::npos) return {};
    if (S_ISDIR(facts.st_mode) && ::faccessat(AT_FDCWD, part.c_str(), X_OK, AT_EACCESS) != 0)
      return concat("; the directory ", quoted(part), " (mode ", octal(facts.st_mode & 07777U),
                    ") may not be searched by this user: chmod o+x it, or move the tree");
  }
}

}  // namespace userns::frontend
