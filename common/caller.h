// Who called: by system calls alone, so that it cannot be argued with. And what the user database
// says of names.
#pragma once

#include <cerrno>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

struct Caller {
  Uid uid{0};  // real uid
  Gid gid{0};  // real gid

  // Never fails: getresuid(2) and getresgid(2) cannot.
  static Caller identify();
};

// NSS modules run inside the process that calls what follows: never in one that could raise a
// capability (common/asker.h). SU-NAME where a look-up itself failed: then policy cannot be read
// either. No value: there is no such entry.
struct LoginEntry {
  std::string name;
  Gid group;  // primary
};
Result<std::optional<LoginEntry>> find_login(Uid uid);
Result<std::optional<Gid>> find_group(std::string_view name);
Result<std::optional<Uid>> find_user(std::string_view name);

// "No such entry" is spelled in all of these ways (getpwnam(3)); any other errno is a look-up that
// failed.
constexpr bool means_absent(int error) { return error == 0 || error == ENOENT || error == ESRCH; }

// The login name of `uid` as policy files can tell it: empty where it has none, or one of digits
// alone, which they take for a uid.
Result<std::string> login_name(Uid uid);

}  // namespace userns
