#include "common/groups.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace userns {

Result<Groups> Groups::of_caller() {
  const int count = ::getgroups(0, nullptr);
  std::vector<gid_t> raw(count < 0 ? 0 : static_cast<std::size_t>(count));
  if (count < 0 || ::getgroups(count, raw.data()) != count)
    return fail("ST-STATE", "cannot read the caller's supplementary groups", errno);
  raw.push_back(::getgid());
  Groups groups;
  for (const gid_t gid : raw) groups.gids_.emplace_back(gid);
  return groups;
}

bool Groups::have(std::uint32_t gid) const {
  return std::ranges::find(gids_, Gid{gid}) != gids_.end();
}

}  // namespace userns
