#include "frontend/policy_tool/change_file.h"

#include <vector>

#include "frontend/policy_tool/lock.h"
#include "frontend/policy_tool/proposal.h"
#include "frontend/policy_tool/replace.h"
#include "frontend/policy_tool/tool.h"

namespace userns::frontend {

Result<std::string> change_files(PolicyFile kind, const Edit& edit, bool dry) {
  const std::vector<std::string> paths{installed_path(kind)};
  if (auto there = check_directory(paths[0]); !there) return std::unexpected(there.error());
  const auto lock =
      dry ? Result<PolicyLock>(PolicyLock::none()) : PolicyLock::take(paths, Hold::kAccounts);
  if (!lock) return std::unexpected(lock.error());
  auto all = read_files({&kind, 1});
  if (!all) return std::unexpected(all.error());
  auto texts = texts_of(*all, kind);
  if (const auto done = edit(texts); !done) return std::unexpected(done.error());
  put_texts(*all, texts);
  std::string shown;
  for (const auto& file : *all) shown += diff(file.before.path, file.before.text, file.after);
  if (dry || shown.empty()) return shown;
  if (auto done = write_files(*all); !done) return std::unexpected(done.error());
  return shown;
}

}  // namespace userns::frontend
