// A path of an archive, taken apart into names below a root. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

inline constexpr std::size_t kLongestPath = 4095;  // PATH_MAX without the end
inline constexpr std::size_t kLongestName = 255;

// "/usr//./bin/x" -> usr, bin, x; empty for the root itself. A leading "/" means the root. Refused:
// "..", a name or a path that no file system takes. Any byte but "/" may be in a name.
Result<std::vector<std::string_view>> path_names(std::string_view path);

// The names with "/" in between: one spelling per place.
std::string joined(const std::vector<std::string_view>& names);

}  // namespace userns::frontend
