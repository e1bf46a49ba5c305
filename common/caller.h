// Who called: by system calls alone, so that it cannot be argued with.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

struct Caller {
  Uid uid{0};  // real uid
  Gid gid{0};  // real gid

  // Never fails: getresuid(2) and getresgid(2) cannot.
  static Caller identify();
};

// The caller's supplementary groups. Before the drop, which empties them.
Result<std::vector<Gid>> supplementary_groups();

// The login name of `uid` as policy files can tell it: empty where it has none, or one that they would read as
// something else (digits: a uid; '@': a group; ':', '*'). NSS runs inside this process: only after the
// drop of privilege. Fails where the lookup itself failed (then policy cannot be read either).
Result<std::string> login_name(Uid uid);

// The id of the group `name`, nothing where there is none. The same conditions.
Result<std::optional<Gid>> group_id(std::string_view name);

}  // namespace userns
