#include "frontend/run/mount_api.h"

#include <linux/stat.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "policy/text.h"

namespace userns::frontend {
namespace {

// What the kernel says about an option is in the context's log, a line per message.
std::string kernel_said(const Fd& context) {
  char text[256];
  const auto got = ::read(context.get(), text, sizeof text);
  if (got <= 0) return {};
  std::string_view line(text, static_cast<std::size_t>(got));
  if (line.starts_with("e ")) line.remove_prefix(2);
  while (line.ends_with('\n')) line.remove_suffix(1);
  return concat(" (", line, ")");
}

Result<void> set_option(const Fd& context, std::string_view option) {
  const std::string key(take_until(option, '='));
  const std::string value(option);
  const int done =
      value.empty() ? ::fsconfig(context.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0)
                    : ::fsconfig(context.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0);
  if (done != 0) return fail_errno(concat("cannot set its option ", key));
  return {};
}

}  // namespace

Result<Fd> clone_tree(int dir, const char* path) {
  // Recursive always: the kernel does not let a user namespace uncover what the host mounted over.
  Fd tree(::open_tree(dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree.valid()) return fail_errno(concat("cannot bind ", path));
  return tree;
}

Result<Fd> clone_tree(const Fd& place) {
  Fd tree(::open_tree(place.get(), "",
                      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH));
  if (!tree.valid()) return fail_errno("cannot bind a part of a file system");
  return tree;
}

Result<Fd> clone_mount(const Fd& place) {
  Fd tree(::open_tree(place.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
  if (!tree.valid()) return fail_errno("cannot bind a part of a file system");
  return tree;
}

Result<Fd> new_filesystem(const char* type, std::string_view options, std::uint64_t attributes,
                          const std::string& source) {
  const Fd context(::fsopen(type, FSOPEN_CLOEXEC));
  if (!context.valid()) return fail_errno(concat("cannot mount a fresh ", type));
  const char* const shown = source.empty() ? type : source.c_str();
  (void)::fsconfig(context.get(), FSCONFIG_SET_STRING, "source", shown, 0);
  while (!options.empty())
    if (const auto set = set_option(context, take_until(options, ',')); !set)
      return fail(
          {}, concat("cannot mount a fresh ", type, ": ", set.error().text, kernel_said(context)),
          set.error().code);
  Fd tree;
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
    tree.reset(::fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (tree.valid()) return tree;
  const int code = errno;
  return fail({}, concat("cannot mount a fresh ", type, kernel_said(context)), code);
}

Result<void> attach(const Fd& tree, const Fd& destination) {
  if (::move_mount(tree.get(), "", destination.get(), "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return fail_errno("cannot attach a mount");
  return {};
}

Result<void> attach_at(const Fd& tree, int dir, const char* name) {
  if (::move_mount(tree.get(), "", dir, name, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return fail_errno(concat("cannot attach a mount on ", name));
  return {};
}

Result<void> set_attributes(const Fd& tree, std::uint64_t attributes) {
  mount_attr wanted{};
  wanted.attr_set = attributes;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &wanted, sizeof wanted) == 0)
    return {};
  return fail_errno("cannot change a mount's flags");
}

Result<void> change_mount(const Fd& tree, const MountChange& change) {
  mount_attr wanted{};
  wanted.attr_set = change.set;
  wanted.attr_clr = change.clear;
  wanted.propagation = change.propagation;
  const unsigned flags = AT_EMPTY_PATH | (change.below ? AT_RECURSIVE : 0U);
  if (::mount_setattr(tree.get(), "", flags, &wanted, sizeof wanted) == 0) return {};
  return fail_errno("cannot change a mount's flags");
}

namespace {

bool propagate(unsigned long how) {
  mount_attr wanted{};
  wanted.propagation = how;
  return ::mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &wanted, sizeof wanted) == 0;
}

}  // namespace

Result<void> make_all_private() {
  return propagate(MS_PRIVATE) ? Result<void>{} : fail_errno("cannot make the mounts private");
}

Result<void> make_all_slaves() {
  return propagate(MS_SLAVE) ? Result<void>{} : fail_errno("cannot make the mounts slaves");
}

Result<void> make_all_shared() {
  return propagate(MS_SHARED) ? Result<void>{} : fail_errno("cannot make the mounts shared");
}

namespace {

std::uint64_t mount_at(int dir, const char* path) {
  struct statx facts{};
  return ::statx(dir, path, AT_EMPTY_PATH, STATX_MNT_ID, &facts) == 0 ? facts.stx_mnt_id : 0;
}

// "/.." is where one gets to when something still lies over the root.
bool is_uncovered(const Fd& root) {
  const auto own = mount_at(root.get(), "");
  return own != 0 && mount_at(AT_FDCWD, "/..") == own;
}

}  // namespace

namespace {

Result<void> make_root(const Fd& root) {
  if (::fchdir(root.get()) != 0 || ::chroot(".") != 0)
    return fail_errno("cannot enter the new root");
  return {};
}

}  // namespace

Result<void> pivot_to(const Fd& root, const Fd& base) {
  if (::fchdir(base.valid() ? base.get() : root.get()) != 0)
    return fail_errno("cannot enter the new root");
  // Both on one directory: the old root is then on top of the new one, with whatever was put on it.
  if (::syscall(SYS_pivot_root, ".", ".") != 0)
    return fail_errno("cannot make it the root (pivot_root)");
  constexpr int kMostLayers =
      32;  // an overlay's, each of which lies on the host's root, and what it was made of
  for (int layer = 0; layer < kMostLayers; ++layer) {
    if (::umount2(".", MNT_DETACH) != 0) return fail_errno("cannot take the host's tree away");
    if (is_uncovered(root)) return make_root(root);
  }
  return fail({}, "cannot take the host's tree away: it is still there");
}

}  // namespace userns::frontend
