#include "common/caller.h"

#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "policy/text.h"

namespace userns {

Caller Caller::identify() { return {Uid{::getuid()}, Gid{::getgid()}}; }

Result<std::vector<Gid>> supplementary_groups() {
  const int count = ::getgroups(0, nullptr);
  std::vector<gid_t> raw(count < 0 ? 0 : static_cast<std::size_t>(count));
  if (count < 0 || ::getgroups(count, raw.data()) != count)
    return fail("ST-STATE", "cannot read the caller's supplementary groups", errno);
  std::vector<Gid> groups;
  groups.reserve(raw.size());
  for (const gid_t gid : raw) groups.emplace_back(gid);
  return groups;
}

Result<std::string> login_name(Uid uid) {
  constexpr std::size_t kLongestEntry = 1UL << 20U;
  for (std::vector<char> buffer(4096); buffer.size() <= kLongestEntry; buffer.resize(buffer.size() * 4)) {
    passwd entry{};
    passwd* found = nullptr;
    const int error = ::getpwuid_r(uid.value(), &entry, buffer.data(), buffer.size(), &found);
    if (found != nullptr) return std::string(found->pw_name);
    // "No such user" is spelled in all of these ways, by getpwnam(3).
    if (error == 0 || error == ENOENT || error == ESRCH) return std::string{};
    if (error != ERANGE) return fail("SU-NAME", cat("cannot look up the login name of uid ", uid.value()), error);
  }
  return fail("SU-NAME", cat("the passwd entry of uid ", uid.value(), " is longer than 1 MiB"));
}

}  // namespace userns
