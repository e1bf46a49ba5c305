// What a user's own eyes see, for root.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

struct Person {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
  std::string home;
};

inline constexpr std::size_t kMostSaid = 8UL << 20U;
using LookOf = std::function<std::string(const Person&)>;

// What `look` returns for each of the people, in their order, in processes that have become them
// for good, with their homes and none of root's environment. Several look at once. Each has so many
// bytes and seconds, and all have so many seconds: what they look at may be made to keep them, and
// a file system of a user's own may keep them from being ended, too. Such a one is left behind.
std::vector<Result<std::string>> as_users(std::span<const Person> people, const LookOf& look);

}  // namespace userns::frontend
