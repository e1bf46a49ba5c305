// Settings as they are typed: what the words of a command line mean for a config file.
#pragma once

#include <string>
#include <string_view>

#include "policy/error.h"

namespace userns::frontend {

// The value to store: a path of the host's that was typed relative to the working directory is
// absolute then, because the container is started from elsewhere.
Result<std::string> value_to_store(std::string_view key, std::string_view value);

}  // namespace userns::frontend
