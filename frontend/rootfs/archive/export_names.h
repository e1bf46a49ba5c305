// Where in an archive of userns-run export what stands.
#pragma once

#include <string_view>

namespace userns::frontend {

inline constexpr std::string_view kExportedSettings = "userns-export/settings";

}  // namespace userns::frontend
