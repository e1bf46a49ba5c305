#include "frontend/copy/place.h"

#include <algorithm>
#include <vector>

#include "policy/text.h"

namespace userns::frontend {
namespace {

// As docker and podman take such a path: ".." takes the name before it away, whatever that is.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const auto name = take_until(path, '/');
    if (name == ".." && !names.empty()) names.pop_back();
    if (!name.empty() && name != "." && name != "..") names.push_back(name);
  }
  std::string text;
  for (const auto name : names) text += concat(text.empty() ? "" : "/", name);
  return text;
}

bool is_content(std::string_view path) { return path == "." || path.ends_with("/."); }

}  // namespace

std::string CopyPlace::text() const {
  if (is_stream) return "-";
  return container ? concat(*container, ":/", path) : path;
}

Result<CopyPlace> parse_place(std::string_view text) {
  CopyPlace place;
  if (text.find('\0') != std::string_view::npos) return fail({}, "a path holds no zero byte");
  place.is_stream = text == "-";
  const auto colon = text.find(':');
  std::string_view path = text;
  if (colon != std::string_view::npos &&
      text.substr(0, colon).find('/') == std::string_view::npos) {
    if (colon == 0)
      return fail({}, concat(quoted(text),
                             " names no container before its \":\"; for a file of the "
                             "host's write ./",
                             text));
    place.container = std::string(text.substr(0, colon));
    path = text.substr(colon + 1);
  }
  if (path.empty())
    return fail({}, concat(quoted(text), " names no file; write the path behind the \":\""));
  place.is_directory = path.ends_with('/');
  place.is_content = is_content(path);
  if (place.is_content && path.size() > 1) path.remove_suffix(path.size() > 2 ? 2 : 1);
  place.path = place.container ? without_dots(path) : std::string(path);
  return place;
}

ParentAndName split_last(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", std::string(path)};
  return {std::string(path.substr(0, slash)), std::string(path.substr(slash + 1))};
}

}  // namespace userns::frontend
