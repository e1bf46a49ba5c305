// userns-run list, userns-run info: what named containers there are, and what there is to know
// about one.
#pragma once

#include <array>

#include "frontend/cli/verbs/select.h"
#include "frontend/spec/verb.h"

namespace userns::frontend {

inline constexpr std::array kListOptions{
    VerbOption{"json", "", "for programs"},
    VerbOption{"running", "", "only those that run"},
    VerbOption{"stopped", "", "only those that do not"},
    kGroupOption,
    VerbOption{"autostart", "", "only those with autostart = yes"},
    VerbOption{"all-paths", "", "those of every --path that was ever used"},
    VerbOption{"host", "", "those of all users (root)"},
    VerbOption{"size", "", "what the files of its own take on disk (reads all of them)"},
    VerbOption{"names", "", "only names, a line each"},
    kPathOption,
};
int run_list(const Words& words);

inline constexpr std::array kInfoOptions{
    VerbOption{"json", "", "for programs"},
    VerbOption{"host", "", "NAME is USER/NAME, of any user (root)"},
    kPathOption,
};
int run_info(const Words& words);

}  // namespace userns::frontend
