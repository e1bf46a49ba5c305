#include "frontend/policy_tool/change_file.h"

#include <vector>

#include "frontend/policy_tool/lock.h"
#include "frontend/policy_tool/replace.h"
#include "frontend/policy_tool/tool.h"

namespace userns::frontend {

Result<std::string> change_file(PolicyFile kind, const Edit& edit, bool dry) {
  const std::vector<std::string> paths{installed_path(kind)};
  if (auto there = check_directory(paths[0]); !there) return std::unexpected(there.error());
  const auto lock =
      dry ? Result<PolicyLock>(PolicyLock::none()) : PolicyLock::take(paths, Hold::kAccounts);
  if (!lock) return std::unexpected(lock.error());
  const auto before = snapshot(paths[0]);
  const auto after = before ? edit(before->text) : std::unexpected(before.error());
  if (!after) return after;
  auto shown = diff(before->path, before->text, *after);
  if (dry || shown.empty()) return shown;
  if (auto done = replace(*before, *after); !done) return std::unexpected(done.error());
  return shown;
}

}  // namespace userns::frontend
