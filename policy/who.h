// Whom a line of net.conf or cgroup.conf is for.
//
//   who = "*" | "@" group-name | login-name | decimal-uid ;
#pragma once

#include <concepts>
#include <string_view>

#include "policy/ids.h"
#include "policy/text.h"

namespace userns {

// Nothing, or why no line can speak of this login by name: it would be read as something else.
inline std::string_view why_not_a_who(std::string_view login) {
  if (login.starts_with('@')) return "begins with '@', which names a group";
  if (login == "*") return "is '*', which names everybody";
  return {};
}

// `login` may be empty; `in_group` says whether this user is in the group of that name.
bool is_for(std::string_view who, Uid uid, std::string_view login,
            std::predicate<std::string_view> auto&& in_group) {
  if (who.starts_with('@')) return in_group(who.substr(1));
  return who == "*" || (!login.empty() && who == login) || who == concat(uid.value());
}

}  // namespace userns
