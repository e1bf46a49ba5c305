// userns-run unshare: a command in the host's tree with the ids of a container.
#pragma once

#include <array>

#include "frontend/cli/verbs/select.h"
#include "frontend/spec/verb.h"

namespace userns::frontend {

int run_unshare(const Words& words);

inline constexpr std::array kUnshareOptions{kPathOption};

}  // namespace userns::frontend
