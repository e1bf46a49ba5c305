// Users and groups by the container's own passwd(5) and group(5). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace userns::frontend {

struct InsideIds {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;

  friend bool operator==(const InsideIds&, const InsideIds&) = default;
};

// Of `user`, a name or a number; `group`, a name or a number, instead of all of the user's own. A
// number needs no entry; its group is then 0. Nothing where a name has no entry.
std::optional<InsideIds> inside_ids(std::string_view passwd, std::string_view group_file,
                                    std::string_view user, std::string_view group);

// Where a user is at home, and what shell the user has; "/" and "/bin/sh" where the file names
// none by an absolute path.
struct InsideLogin {
  std::string_view home = "/";
  std::string_view shell = "/bin/sh";
};
InsideLogin inside_login(std::string_view passwd, std::string_view user);

}  // namespace userns::frontend
