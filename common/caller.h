// Who called: by system calls alone, so that it cannot be argued with.
#pragma once

#include <unistd.h>

#include "policy/ids.h"

namespace userns {

struct Caller {
  Uid uid{0};  // real uid
  Gid gid{0};  // real gid

  // Never fails: getuid(2) and getgid(2) cannot.
  static Caller identify() { return {Uid{::getuid()}, Gid{::getgid()}}; }
};

}  // namespace userns
