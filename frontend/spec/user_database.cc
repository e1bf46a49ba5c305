#include "frontend/spec/user_database.h"

#include <grp.h>
#include <pwd.h>

#include "policy/text.h"

namespace userns::frontend {

Result<std::string> login_name(Uid uid) {
  errno = 0;
  const auto* const entry = ::getpwuid(uid.value());
  if (entry == nullptr && !means_absent(errno))
    return fail("SU-NAME", concat("cannot look up uid ", uid.value()), errno);
  const std::string name = entry == nullptr ? "" : entry->pw_name;
  return name.find_first_not_of("0123456789") == std::string::npos ? "" : name;
}

Result<std::optional<Gid>> find_group(std::string_view name) {
  errno = 0;
  const auto* const entry = ::getgrnam(std::string(name).c_str());
  if (entry != nullptr) return Gid{entry->gr_gid};
  if (means_absent(errno)) return std::nullopt;
  return fail("SU-NAME", concat("cannot look up group ", quoted(name)), errno);
}

bool contain(const Groups& groups, std::string_view name) {
  const auto gid = find_group(name);
  return gid && *gid && groups.have((*gid)->value());
}

}  // namespace userns::frontend
