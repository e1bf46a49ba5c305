// A config.json that lists no user namespace, for a caller who can make no other without one. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"
#include "policy/id_range.h"

namespace userns::frontend {

// The same document, which lists a new user namespace with these ids. `json` was read by
// parse_config() before.
Result<std::string> add_user_namespace(std::string_view json, const std::vector<Extent>& uids,
                                       const std::vector<Extent>& gids);

}  // namespace userns::frontend
