#include "frontend/run/cgroup/exec_leaf.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/run/as_root_of.h"
#include "frontend/run/cgroup/files.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kPrefix = ".userns-exec-";

bool is_callers(const Fd& directory) {
  struct stat facts{};
  return ::fstat(directory.get(), &facts) == 0 && facts.st_uid == ::geteuid();
}

bool as_owner_of(const Fd& directory, const Fd& user_namespace, const std::function<bool()>& act) {
  return is_callers(directory) ? act() : as_root_of(user_namespace, act);
}

// The caller is nobody to the kernel there, so whoever asks may write. Nobody else can use it: who
// moves a process needs the right to what both places have in common, too, which is the caller's.
bool make_one(const Fd& payload, const std::string& name, mode_t mode) {
  return ::mkdirat(payload.get(), name.c_str(), 0755) == 0 &&
         ::fchmodat(payload.get(), (name + "/cgroup.procs").c_str(), mode, 0) == 0;
}

}  // namespace

Result<ExecLeaf> ExecLeaf::make(const Fd& payload, const Fd& user_namespace, unsigned number) {
  constexpr mode_t kCallers = 0644;
  constexpr mode_t kEverybodys = 0666;
  const mode_t mode = is_callers(payload) ? kCallers : kEverybodys;
  auto name = concat(kPrefix, number);
  if (!as_owner_of(payload, user_namespace, [&] { return make_one(payload, name, mode); }))
    return fail({},
                "cannot make a cgroup for the command below the container's: does the container "
                "limit cgroup.max.descendants or cgroup.max.depth there?");
  auto dir = open_at(payload.get(), name.c_str(), O_RDONLY | O_DIRECTORY);
  if (!dir) return fail({}, concat("cannot open the cgroup ", name), dir.error().code);
  return ExecLeaf(std::move(*dir), std::move(name));
}

void ExecLeaf::kill(const Fd& user_namespace) const {
  if (!dir_.valid()) return;
  (void)as_owner_of(dir_, user_namespace,
                    [this] { return write_file(dir_.get(), "cgroup.kill", "1").has_value(); });
}

void ExecLeaves::add(ExecLeaf leaf) {
  if (leaf.dir_.valid()) leaves_.push_back(std::move(leaf));
}

// rmdir(2) refuses where somebody is in it.
void ExecLeaves::remove_empty(const Fd& payload, const Fd& user_namespace) {
  if (leaves_.empty()) return;
  (void)as_owner_of(payload, user_namespace, [&] {
    for (const auto& leaf : leaves_)
      (void)::unlinkat(payload.get(), leaf.name_.c_str(), AT_REMOVEDIR);
    return true;
  });
  std::erase_if(leaves_, [&](const ExecLeaf& leaf) {
    return ::faccessat(payload.get(), leaf.name_.c_str(), F_OK, 0) != 0;
  });
}

}  // namespace userns::frontend
