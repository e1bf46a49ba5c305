// userns-run config: shows and changes the settings of a named container.
#pragma once

#include <array>

#include "frontend/cli/verbs/select.h"
#include "frontend/spec/verb.h"

namespace userns::frontend {

inline constexpr std::array kConfigOptions{
    VerbOption{"unset", "KEY", "the key goes back to what it is by default", true},
    VerbOption{"all", "", "shows what is included and the user's default.conf, too"},
    kPathOption,
};

int run_config(const Words& words);

}  // namespace userns::frontend
