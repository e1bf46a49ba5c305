// What the user database says, asked in this process: its modules (NSS) run here, so only in
// programs without privilege. A helper asks common/asker.h.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include "common/groups.h"
#include "policy/error.h"
#include "policy/ids.h"

namespace userns::frontend {

// "No such entry" is spelled in all of these ways (getpwnam(3)); any other errno is a look-up that
// failed.
constexpr bool means_absent(int error) { return error == 0 || error == ENOENT || error == ESRCH; }

// The login name of `uid` as policy files can tell it: empty if it has none, or one of digits
// alone, which they take for a uid. SU-NAME if the look-up itself failed.
Result<std::string> login_name(Uid uid);

// No value: there is no such group.
Result<std::optional<Gid>> find_group(std::string_view name);

// Whether the group `name` is one of `groups`; not if the look-up failed.
bool contain(const Groups& groups, std::string_view name);

}  // namespace userns::frontend
