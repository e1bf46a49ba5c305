// Where a user's files are: the XDG base directories.
//
// Source: XDG Base Directory Specification. A variable that holds no absolute path counts as not set.
#pragma once

#include <string>

#include "policy/error.h"

namespace userns::frontend {

// $XDG_DATA_HOME, or HOME/.local/share; HOME is the environment's, or that of the user database.
Result<std::string> user_data_dir();
// $XDG_CONFIG_HOME, or HOME/.config.
Result<std::string> user_config_dir();

}  // namespace userns::frontend
