#include "frontend/rootfs/archive/path_names.h"

#include "policy/text.h"

namespace userns::frontend {

Result<std::vector<std::string_view>> path_names(std::string_view path) {
  if (path.size() > kLongestPath)
    return fail({}, concat("the path ", quoted(path), " has ", path.size(), " bytes: more than ",
                           kLongestPath, " are not possible"));
  std::vector<std::string_view> names;
  for (std::string_view rest = path; !rest.empty();) {
    const auto name = take_until(rest, '/');
    if (name.empty() || name == ".") continue;
    if (name == "..")
      return fail({}, concat("the path ", quoted(path), " would leave the root file system"));
    if (name.size() > kLongestName)
      return fail({}, concat("the path ", quoted(path), " has a name of ", name.size(),
                             " bytes: more than ", kLongestName, " are not possible"));
    names.push_back(name);
  }
  return names;
}

std::string joined(const std::vector<std::string_view>& names) {
  std::string path;
  for (const auto name : names) path += path.empty() ? std::string(name) : concat("/", name);
  return path;
}

}  // namespace userns::frontend
