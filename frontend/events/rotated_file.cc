#include "frontend/events/rotated_file.h"

#include <sys/stat.h>

#include <utility>

#include "policy/try.h"

namespace userns::frontend {
namespace {

struct Parts {
  Fd old;
  Fd now;
};

bool is_same(const Fd& one, const Fd& other) {
  struct stat a{};
  struct stat b{};
  return one.valid() && other.valid() && ::fstat(one.get(), &a) == 0 &&
         ::fstat(other.get(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// As they belong together: nothing was put aside between.
Result<Parts> open_parts(const char* old_name, const char* name, const OpenPart& open) {
  while (true) {
    auto old = TRY(open(old_name));
    auto now = TRY(open(name));
    const auto again = TRY(open(old_name));
    if (old.valid() == again.valid() && (!old.valid() || is_same(old, again)))
      return Parts{.old = std::move(old), .now = std::move(now)};
  }
}

}  // namespace

Result<Fd> next_part(const Fd& last, const char* old_name, const char* name, const OpenPart& open,
                     const std::function<Result<void>()>& drain) {
  auto parts = TRY(open_parts(old_name, name, open));
  TRY(drain());
  if (is_same(last, parts.now)) return Fd{};
  const bool old_is_read = is_same(last, parts.old);
  return parts.old.valid() && !old_is_read ? std::move(parts.old) : std::move(parts.now);
}

}  // namespace userns::frontend
