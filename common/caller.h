// Who called: by system calls alone, so that it cannot be argued with.
#pragma once

#include <cerrno>
#include <cstddef>
#include <string>

#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

struct Caller {
  Uid uid{0};  // real uid
  Gid gid{0};  // real gid

  // Never fails: getresuid(2) and getresgid(2) cannot.
  static Caller identify();
};

// The login name of `uid` as policy files can tell it: empty where it has none, or one that they
// would read as something else (digits: a uid; '@': a group; ':', '*'). NSS runs inside this
// process: only after the drop of privilege. Fails where the lookup itself failed (then policy
// cannot be read either).
Result<std::string> login_name(Uid uid);

// Room for one entry of an NSS database: more than any has, and pages that are not touched cost
// nothing.
constexpr std::size_t kLongestNssEntry = 1UL << 20U;
// "No such entry" is spelled in all of these ways (getpwnam(3)); any other errno is a lookup that
// failed.
constexpr bool means_absent(int error) { return error == 0 || error == ENOENT || error == ESRCH; }

}  // namespace userns
