#include "frontend/cli/verbs/settings.h"

#include "frontend/store/user_dirs.h"
#include "policy/text.h"

namespace userns::frontend {

Result<std::string> value_to_store(std::string_view key, std::string_view value) {
  const bool is_path = key == "rootfs" || key == "pid-file" || key == "changes" || key == "include";
  if (value.empty() || (!is_path && key != "bind")) return std::string(value);
  if (is_path) return absolute_path(value);
  auto rest = value;
  const auto source = absolute_path(take_until(rest, ':'));
  if (!source) return source;
  return value.contains(':') ? concat(*source, ":", rest) : *source;
}

}  // namespace userns::frontend
