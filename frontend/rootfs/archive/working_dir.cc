#include "frontend/rootfs/archive/working_dir.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "policy/text.h"

namespace userns::frontend {
namespace {

Result<Fd> enter_or_make(const Fd& above, const std::string& name) {
  constexpr auto kOneStep = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  auto there = open_at(above.get(), name.c_str(), O_RDONLY | O_DIRECTORY, kOneStep);
  if (there || there.error().code != ENOENT) return there;
  if (::mkdirat(above.get(), name.c_str(), 0755) != 0) return fail_errno("cannot make a directory");
  return open_at(above.get(), name.c_str(), O_RDONLY | O_DIRECTORY, kOneStep);
}

}  // namespace

void make_working_directory(const Fd& top, std::string_view path) {
  auto at = open_at(top.get(), ".", O_RDONLY | O_DIRECTORY);
  while (at && !path.empty()) {
    const auto name = take_until(path, '/');
    if (name.empty() || name == ".") continue;
    if (name == "..") return;
    at = enter_or_make(*at, std::string(name));
  }
}

}  // namespace userns::frontend
