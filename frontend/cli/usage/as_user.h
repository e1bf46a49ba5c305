// What a user's own eyes see, for root.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "policy/error.h"

namespace userns::frontend {

struct Person {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
  std::string home;
};

// What `look` returns in a process that has become the user for good, with the user's home and none
// of root's environment. At most so many bytes and seconds: what it looks at may be made to keep
// it.
Result<std::string> as_user(const Person& person, const std::function<std::string()>& look);

}  // namespace userns::frontend
