#include "common/groups.h"

#include <grp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>

#include "common/caller.h"
#include "policy/text.h"

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

bool Groups::contain(std::string_view name) {
  const std::string text(name);
  const auto buffer = std::make_unique_for_overwrite<char[]>(kLongestNssEntry);
  group entry{}, *found = nullptr;
  const int error = ::getgrnam_r(text.c_str(), &entry, buffer.get(), kLongestNssEntry, &found);
  if (found == nullptr && !means_absent(error))
    failed_ = Error{"SU-NAME", error, concat("cannot look up group ", quoted(name))};
  return found != nullptr && std::ranges::find(gids_, Gid{entry.gr_gid}) != gids_.end();
}

}  // namespace userns
