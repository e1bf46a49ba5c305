// Where a user's files are: the XDG base directories.
//
// Source: XDG Base Directory Specification. A variable that holds no absolute path counts as not
// set.
#pragma once

#include <string>
#include <string_view>

#include "policy/error.h"

namespace userns::frontend {

// $XDG_DATA_HOME, or HOME/.local/share; HOME is the environment's, or that of the user database.
Result<std::string> user_data_dir();
// $XDG_CONFIG_HOME, or HOME/.config.
Result<std::string> user_config_dir();

// Of a path that may be relative to the working directory. Links are left as they are, slashes at
// the end are not.
Result<std::string> absolute_path(std::string_view path);

}  // namespace userns::frontend
