// One change to the installed files of a policy, under their lock: shown as a diff, or done and
// shown.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "frontend/policy_tool/check/checks.h"
#include "policy/error.h"

namespace userns::frontend {

// Makes of the texts what is to be there.
using Edit = std::function<Result<void>(std::span<PolicyText> files)>;

// `dry`: nothing is locked or written. The diffs; empty where nothing changes.
Result<std::string> change_files(PolicyFile kind, const Edit& edit, bool dry);

}  // namespace userns::frontend
