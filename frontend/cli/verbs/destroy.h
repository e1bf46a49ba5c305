// userns-run destroy: deletes named containers.
#pragma once

#include <array>

#include "frontend/cli/verbs/select.h"
#include "frontend/spec/verb.h"

namespace userns::frontend {

inline constexpr std::array kDestroyOptions{
    VerbOption{"force", "", "also one that runs: it is killed first"},
    kGroupOption,
    kPathOption,
};

int run_destroy(const Words& words);

}  // namespace userns::frontend
