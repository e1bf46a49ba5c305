#include "frontend/store/user_dirs.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <string_view>

#include "common/fd.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string absolute_variable(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr && value[0] == '/' ? value : std::string{};
}

Result<std::string> home() {
  if (auto told = absolute_variable("HOME"); !told.empty()) return told;
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 16384> room{};
  const int code = ::getpwuid_r(::geteuid(), &entry, room.data(), room.size(), &found);
  if (found != nullptr && found->pw_dir != nullptr && found->pw_dir[0] == '/')
    return std::string(found->pw_dir);
  return fail({}, "there is no home directory to keep containers in: set HOME or XDG_DATA_HOME",
              code);
}

Result<std::string> below(const char* variable, std::string_view in_home) {
  if (auto told = absolute_variable(variable); !told.empty()) return told;
  const auto base = home();
  if (!base) return base;
  return concat(*base, in_home);
}

}  // namespace

Result<std::string> user_data_dir() { return below("XDG_DATA_HOME", "/.local/share"); }
Result<std::string> user_config_dir() { return below("XDG_CONFIG_HOME", "/.config"); }

Result<std::string> absolute_path(std::string_view path) {
  std::string whole(path);
  if (!path.starts_with('/')) {
    std::array<char, PATH_MAX> cwd{};
    if (::getcwd(cwd.data(), cwd.size()) == nullptr)
      return fail_errno("cannot find the working directory");
    whole = concat(std::string_view(cwd.data()), cwd[1] == '\0' ? "" : "/", path);
  }
  while (whole.size() > 1 && whole.ends_with('/')) whole.pop_back();
  return whole;
}

}  // namespace userns::frontend
