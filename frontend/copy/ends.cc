#include "frontend/copy/ends.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "frontend/rootfs/archive/source.h"
#include "frontend/rootfs/archive/work_limits.h"
#include "frontend/rootfs/pack.h"
#include "frontend/rootfs/unpack.h"
#include "frontend/start/ids/in_map.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr int kTries = 100;

// A place below a root directory. A directory that is moved meanwhile makes the kernel say EAGAIN.
Result<Fd> open_in_root(const Fd& root, const std::string& path, int flags) {
  for (int left = kTries;; --left) {
    auto file = open_at(root.get(), path.empty() ? "." : path.c_str(), flags,
                        RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (file || file.error().code != EAGAIN || left == 0) return file;
  }
}

Result<Fd> open_below(const Fd* root, const std::string& path, int flags) {
  if (root != nullptr) return open_in_root(*root, path, flags);
  return open_at(AT_FDCWD, path.empty() ? "." : path.c_str(), flags);
}

Result<FoundKind> kind_of(const Fd* root, const std::string& path, bool follows) {
  const auto found = open_below(root, path, O_PATH | (follows ? 0 : O_NOFOLLOW));
  if (!found && (found.error().code == ENOENT || found.error().code == ENOTDIR))
    return FoundKind::kNothing;
  if (!found) return fail({}, concat("cannot look at ", quoted(path)), found.error().code);
  struct stat facts{};
  if (::fstat(found->get(), &facts) != 0)
    return fail_errno(concat("cannot look at ", quoted(path)));
  return S_ISDIR(facts.st_mode) ? FoundKind::kDirectory : FoundKind::kOther;
}

Result<void> pack_below(const Fd* root, const std::string& path, PackWhat what, const Fd& out) {
  // "/" on the host, too, has no name.
  const auto [parent, name] = split_last(path);
  const bool has_name = what.name.empty() && !name.empty();
  const bool from_top = root == nullptr && path.starts_with('/');
  what.name = has_name ? name : ".";
  const auto directory = open_below(root,
                                    !has_name  ? path
                                    : from_top ? parent + "/"
                                               : parent,
                                    O_RDONLY | O_DIRECTORY);
  if (!directory) return fail({}, concat("cannot open ", quoted(path)), directory.error().code);
  return pack_with_tar(*directory, what, out);
}

Result<std::string> unpack_below(const Fd& top, UnpackBeside beside, const Fd& archive) {
  TRY(bound_the_work());
  Unpacker unpacker(top, default_limits(top), std::move(beside));
  FileSource source(archive);
  TRY(unpacker.add(source, false));
  TRY(unpacker.finish());
  return concat(unpacker.counts().devices);
}

// The caller alone, as 0.
ChosenIds own_ids() {
  const auto one = [](std::uint32_t own) {
    ChosenMap map{.extents = {}, .writer = MapWriter::kSelf};
    if (const auto extent = Extent::make(0, own, 1)) map.extents.push_back(*extent);
    return map;
  };
  return {.uids = one(::geteuid()), .gids = one(::getegid()), .deny_setgroups = true};
}

Result<std::string> unpack_on_host(const Fd& archive, const Destination& to) {
  const auto top =
      open_at(AT_FDCWD, to.directory.empty() ? "." : to.directory.c_str(), O_RDONLY | O_DIRECTORY);
  if (!top) return fail({}, concat("cannot open ", quoted(to.directory)), top.error().code);
  UnpackBeside beside{.below = "", .first_name = to.first_name, .owner = {}};
  beside.owner.emplace(0, 0);
  beside.plain = true;
  return in_map(own_ids(), [&](const Outside&) { return unpack_below(*top, beside, archive); });
}

std::string as_text(FoundKind kind) { return concat(static_cast<unsigned>(kind)); }

}  // namespace

Result<FoundKind> CopyEnd::look(const std::string& path, bool follows) const {
  if (!tree_) return kind_of(nullptr, path, follows);
  const auto said = TRY(tree_->work([&](const Fd& root) -> Result<std::string> {
    const auto kind = kind_of(&root, path, follows);
    return kind ? Result<std::string>(as_text(*kind)) : std::unexpected(kind.error());
  }));
  for (const auto kind : {FoundKind::kDirectory, FoundKind::kOther})
    if (said == as_text(kind)) return kind;
  return FoundKind::kNothing;
}

Result<void> CopyEnd::pack(bool only_content, const Fd& out) const {
  PackWhat what{.name = only_content ? "." : "", .may_change = true, .as_callers_files = !tree_};
  if (!tree_) return pack_below(nullptr, place_.path, what, out);
  what.may_change = tree_->is_running();
  const auto packed = tree_->work([&](const Fd& root) -> Result<std::string> {
    const auto done = pack_below(&root, place_.path, what, out);
    return done ? Result<std::string>("") : std::unexpected(done.error());
  });
  return packed ? Result<void>{} : std::unexpected(packed.error());
}

Result<std::uint64_t> CopyEnd::unpack(const Fd& archive, const Destination& to) const {
  const auto said = TRY(!tree_ ? unpack_on_host(archive, to) : tree_->work([&](const Fd& root) {
    return unpack_below(root,
                        {.below = to.directory,
                         .first_name = to.first_name,
                         .keeps_links = true,
                         .enters_mounts = true,
                         .owner = to.owner},
                        archive);
  }));
  return parse_decimal(said).value_or(0);
}

}  // namespace userns::frontend
