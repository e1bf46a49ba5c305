// What this program was started as, to be started again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

// The path of its file; of the new one, where it was replaced meanwhile.
Result<std::string> own_program();

// As /proc/self/cmdline has them, with the first, which is the name that the caller chose.
Result<std::vector<std::string>> own_words();

// From here on /proc/PID/cmdline, which everybody may read, shows `name` in their place.
void show_instead_of_own_words(std::string_view name);

}  // namespace userns::frontend
