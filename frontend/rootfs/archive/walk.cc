#include "frontend/rootfs/archive/walk.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cerrno>

#include "frontend/rootfs/archive/path_names.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr int kDirectory = O_PATH | O_DIRECTORY;

}  // namespace

Result<Fd> Walk::step(int from, const Names& names, std::size_t depth, bool make) const {
  const std::string name(names[depth]);
  const unsigned long long here = enters_mounts_ ? 0 : RESOLVE_NO_XDEV;
  auto directory = open_at(from, name.c_str(), kDirectory | O_NOFOLLOW, here);
  if (!directory && directory.error().code == ENOENT && make) {
    if (::mkdirat(from, name.c_str(), 0755) != 0 && errno != EEXIST)
      return fail_errno(concat("cannot make the directory ", quoted(joined(names))));
    directory = open_at(from, name.c_str(), kDirectory | O_NOFOLLOW, here);
  }
  if (!directory && (directory.error().code == ENOTDIR || directory.error().code == ELOOP)) {
    const auto way =
        joined(Names(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(depth) + 1));
    directory = open_at(top_.get(), way.c_str(), kDirectory,
                        RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | here);
  }
  if (directory) return directory;
  return fail({}, concat("cannot reach the directory of ", quoted(joined(names))),
              directory.error().code);
}

Result<int> Walk::parent_of(const Names& names, bool make) {
  const std::size_t depth = names.size() - 1;
  std::size_t known = 0;
  while (known < levels_.size() && known < depth && levels_[known].name == names[known]) ++known;
  levels_.resize(known);
  while (levels_.size() < depth) {
    const int from = levels_.empty() ? top_.get() : levels_.back().directory.get();
    auto next = TRY(step(from, names, levels_.size(), make));
    levels_.emplace_back(std::string(names[levels_.size()]), std::move(next));
  }
  return levels_.empty() ? top_.get() : levels_.back().directory.get();
}

}  // namespace userns::frontend
