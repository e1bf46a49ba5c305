#include "frontend/start/changes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/fd.h"
#include "frontend/start/in_map.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

// Made and given away, or not there. False: it was there already.
Result<bool> make_for_root(const ChosenIds& ids, const Fd& parent, const char* name, mode_t mode) {
  if (::mkdirat(parent.get(), name, 0700) != 0) {
    if (errno == EEXIST) return false;
    return fail_errno("cannot make a directory in it");
  }
  const auto made = open_at(parent.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  auto given = made ? Result<void>{} : std::unexpected(made.error());
  if (given && ::fchmod(made->get(), mode) != 0)
    given = fail_errno("cannot set the mode of a directory in it");
  if (given) given = give_away(ids, *made);
  if (given) return true;
  (void)::unlinkat(parent.get(), name, AT_REMOVEDIR);
  return std::unexpected(given.error());
}

}  // namespace

Result<void> prepare_changes(const Plan& plan) {
  if (plan.spec.changes.empty()) return {};
  const auto about = [&](const Error& error) {
    return fail({}, concat("cannot keep changes in ", quoted(plan.spec.changes), ": ", error.text),
                error.code);
  };
  const auto parent = open_at(AT_FDCWD, plan.spec.changes.c_str(), O_RDONLY | O_DIRECTORY);
  if (!parent)
    return fail({}, concat("cannot keep changes in ", quoted(plan.spec.changes)),
                parent.error().code);
  // The merged root shows the upper layer's mode.
  struct stat lower{};
  const auto& top = plan.spec.layers.empty() ? plan.spec.rootfs : plan.spec.layers.front();
  if (::stat(top.c_str(), &lower) != 0)
    return fail_errno(concat("cannot use ", quoted(top), " as a root file system"));
  const auto work = make_for_root(plan.ids, *parent, "work", 0700);
  if (!work) return about(work.error());
  const auto upper = make_for_root(plan.ids, *parent, "upper", lower.st_mode & 07777U);
  if (upper) return {};
  if (*work) (void)::unlinkat(parent->get(), "work", AT_REMOVEDIR);
  return about(upper.error());
}

}  // namespace userns::frontend
