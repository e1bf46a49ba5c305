#include "frontend/rootfs/root_place.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/rootfs/attributes.h"
#include "frontend/rootfs/remove.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kMostShown = 5;

Result<std::vector<std::string>> names_in(const Fd& directory) {
  auto again = TRY(open_at(directory.get(), ".", O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(again.get()), ::closedir);
  if (!entries) return fail_errno("cannot read the directory");
  (void)again.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(entries.get()))
    if (const std::string_view name = entry->d_name; name != "." && name != "..")
      names.emplace_back(name);
  std::ranges::sort(names);
  return names;
}

// A directory with programs in it, or an init to start.
bool is_root(const std::vector<std::string>& names) {
  constexpr std::array<std::string_view, 5> kSigns{"bin", "sbin", "usr", "nix", "init"};
  return std::ranges::any_of(
      kSigns, [&](std::string_view sign) { return std::ranges::find(names, sign) != names.end(); });
}

Result<Fd> open_below(const Fd& top, const std::string& name) {
  return open_at(top.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_NO_XDEV);
}

Result<std::vector<std::string>> roots_in(const Fd& top, const std::vector<std::string>& names) {
  std::vector<std::string> found;
  for (const auto& name : names) {
    const auto below = open_below(top, name);
    if (!below) continue;
    const auto inner = names_in(*below);
    if (!inner) return inner;
    if (is_root(*inner)) found.push_back(name);
  }
  return found;
}

std::string shown(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : std::span(names).first(std::min(names.size(), kMostShown)))
    text += concat(text.empty() ? "" : ", ", quoted(name));
  return names.size() > kMostShown ? text + " ..." : text;
}

// What a directory is beside its entries.
struct Looks {
  struct stat facts{};
  std::vector<Attribute> attributes;
};

Result<Looks> looks_of(const Fd& directory) {
  Looks looks;
  if (::fstat(directory.get(), &looks.facts) != 0) return fail_errno("cannot look at its root");
  looks.attributes = TRY(get_attributes(directory.get()));
  return looks;
}

Result<void> dress_as(const Fd& top, const Looks& looks) {
  const auto& facts = looks.facts;
  if (::fchown(top.get(), facts.st_uid, facts.st_gid) != 0 ||
      ::fchmod(top.get(), facts.st_mode & 07777U) != 0)
    return fail_errno("cannot set the owner and mode of its root");
  (void)TRY(set_attributes(top.get(), looks.attributes));
  const std::array times{facts.st_atim, facts.st_mtim};
  return ::futimens(top.get(), times.data()) == 0 ? Result<void>{}
                                                  : fail_errno("cannot set the time of its root");
}

// A name that neither of both directories has.
std::string free_name(std::vector<std::string> names, const std::vector<std::string>& others) {
  names.insert(names.end(), others.begin(), others.end());
  std::string name = ".root";
  while (std::ranges::find(names, name) != names.end()) name += '_';
  return name;
}

// A directory that moves gets another "..": where a server judges rights (NFS), its owner must have
// the right to write to it, whoever root is here.
bool move_up(const Fd& from, const Fd& to, const char* name) {
  const auto move = [&] { return ::renameat(from.get(), name, to.get(), name) == 0; };
  if (move()) return true;
  if (errno != EACCES) return false;
  const auto directory = open_below(from, name);
  struct stat facts{};
  if (!directory || ::fstat(directory->get(), &facts) != 0 ||
      ::fchmod(directory->get(), (facts.st_mode & 07777U) | S_IRWXU) != 0)
    return false;
  const bool is_moved = move();
  return ::fchmod(directory->get(), facts.st_mode & 07777U) == 0 && is_moved;
}

Result<void> lift(const Fd& top, const std::string& name, const std::vector<std::string>& names) {
  const auto directory = open_below(top, name);
  const auto inner = TRY(directory ? names_in(*directory) : std::unexpected(directory.error()));
  // Before its time changes; and on NFS nothing can be asked of it once it is removed.
  const auto looks = TRY(looks_of(*directory));
  const auto aside = free_name(names, inner);
  if (::renameat(top.get(), name.c_str(), top.get(), aside.c_str()) != 0)
    return fail_errno(concat("cannot move ", quoted(name)));
  for (const auto& other : names)
    if (other != name)
      if (auto removed = remove_inside(top.get(), other); !removed) return removed;
  for (const auto& entry : inner)
    if (!move_up(*directory, top, entry.c_str()))
      return fail_errno(concat("cannot move ", quoted(concat(name, "/", entry))));
  if (::unlinkat(top.get(), aside.c_str(), AT_REMOVEDIR) != 0)
    return fail_errno(concat("cannot remove ", quoted(name)));
  return dress_as(top, looks);
}

// What `lxc export` and `incus export` write has its rootfs/ two levels further down: that level
// becomes the top. Returns the way there, with a "/" at its end.
Result<std::string> unwrap_backup(const Fd& top) {
  constexpr std::array<std::string_view, 2> kWay{"backup", "container"};
  if (!open_at(top.get(), "backup/container/rootfs", O_PATH | O_DIRECTORY,
               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV))
    return std::string{};
  std::string way;
  for (const auto name : kWay) {
    const auto names = TRY(names_in(top));
    TRY(lift(top, std::string(name), names));
    way += concat(name, "/");
  }
  return way;
}

}  // namespace

Result<std::string> find_root_place(const Fd& top, bool must) {
  auto names = names_in(top);
  if (!names) return std::unexpected(names.error());
  if (is_root(*names)) return std::string{};
  const auto way = unwrap_backup(top);
  names = way ? names_in(top) : std::unexpected(way.error());
  if (!names) return std::unexpected(names.error());
  const auto roots = TRY(roots_in(top, *names));
  if (roots.size() == 1) {
    TRY(lift(top, roots.front(), *names));
    return *way + roots.front();
  }
  if (!must) return std::string{};
  if (roots.empty())
    return fail({}, concat("there is no root file system in it: neither its top (", shown(*names),
                           ") nor a directory there has bin, sbin or usr; name a command after "
                           "-- if that is meant"));
  return fail({}, concat("there are several root file systems in it (", shown(roots),
                         "): unpack one of them and give it with --rootfs"));
}

}  // namespace userns::frontend
