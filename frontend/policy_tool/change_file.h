// One change to an installed policy file, under its lock: shown as a diff, or done and shown.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "frontend/policy_tool/check/checks.h"
#include "policy/error.h"

namespace userns::frontend {

// The text that is to be there; the same where nothing is to change.
using Edit = std::function<Result<std::string>(std::string_view before)>;

// `dry`: nothing is locked or written. The diff; empty where nothing changes.
Result<std::string> change_file(PolicyFile kind, const Edit& edit, bool dry);

}  // namespace userns::frontend
