#include "frontend/policy_tool/change_file.h"

#include <vector>

#include "frontend/policy_tool/lock.h"
#include "frontend/policy_tool/proposal.h"
#include "frontend/policy_tool/replace.h"
#include "frontend/policy_tool/tool.h"
#include "policy/try.h"

namespace userns::frontend {

Result<std::string> change_files(PolicyFile kind, const Edit& edit, bool dry) {
  const std::vector<std::string> paths{installed_path(kind)};
  if (!dry) TRY(make_directory_of(paths[0]));
  const auto lock =
      TRY(dry ? Result<PolicyLock>(PolicyLock::none()) : PolicyLock::take(paths, Hold::kAccounts));
  auto all = TRY(read_files({&kind, 1}));
  auto texts = texts_of(all, kind);
  TRY(edit(texts));
  put_texts(all, texts);
  std::string shown;
  for (const auto& file : all) shown += diff(file.before.path, file.before.text, file.after);
  if (dry || shown.empty()) return shown;
  TRY(write_files(all));
  return shown;
}

}  // namespace userns::frontend
