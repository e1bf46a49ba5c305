// The verbs of userns-policy: from this table come the dispatch, --help and the shell completions.
#pragma once

#include <span>

#include "frontend/spec/verb.h"

namespace userns::frontend {

// In the order of --help.
std::span<const Verb> policy_verbs();

}  // namespace userns::frontend
