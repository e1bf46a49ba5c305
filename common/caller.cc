#include "common/caller.h"

#include <pwd.h>
#include <unistd.h>

#include <memory>

#include "policy/text.h"

namespace userns {

Caller Caller::identify() { return {Uid{::getuid()}, Gid{::getgid()}}; }

Result<std::string> login_name(Uid uid) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(kLongestNssEntry);
  passwd entry{}, *found = nullptr;
  const int error = ::getpwuid_r(uid.value(), &entry, buffer.get(), kLongestNssEntry, &found);
  if (found == nullptr && !means_absent(error))
    return fail("SU-NAME", concat("cannot look up uid ", uid.value()), error);
  const std::string name = found == nullptr ? "" : found->pw_name;
  const bool is_number = name.find_first_not_of("0123456789") == std::string::npos;
  return is_number || name.find_first_of("@:*") != std::string::npos ? "" : name;
}

}  // namespace userns
