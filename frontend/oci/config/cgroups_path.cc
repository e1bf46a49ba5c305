#include "frontend/oci/config/cgroups_path.h"

#include <algorithm>

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLongest = 1024;

bool is_fit(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() < 256 &&
         std::ranges::none_of(name, [](char c) { return c < ' ' || c == 0x7f; });
}

std::unexpected<Error> refuse(std::string_view text, std::string_view what) {
  return fail({}, concat("config.json: linux.cgroupsPath ", quoted(text), " ", what));
}

// What systemd takes as a name, with nothing in it that is an option or a path.
bool is_unit_word(std::string_view text) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@\\-";
  return text.size() < 200 && text.find_first_not_of(kLetters) == std::string_view::npos &&
         !text.starts_with('-') && !text.starts_with('.');
}

}  // namespace

Result<CgroupsPath> parse_cgroups_path(std::string_view text) {
  CgroupsPath path;
  path.is_absolute = text.starts_with('/');
  if (text.size() > kLongest) return refuse(text, "is too long");
  for (std::string_view rest = text.substr(path.is_absolute ? 1 : 0); !rest.empty();) {
    const auto name = take_until(rest, '/');
    if (!is_fit(name)) return refuse(text, "has a component that is empty, \".\" or \"..\"");
    path.below += concat(path.below.empty() ? "" : "/", name);
  }
  if (path.below.empty() && !text.empty()) return refuse(text, "is the top of the hierarchy");
  return path;
}

Result<ScopeName> parse_scope_name(std::string_view text, std::string_view id) {
  if (text.empty()) return ScopeName{.slice = {}, .unit = concat("userns-oci-", id, ".scope")};
  std::string_view rest = text;
  const auto slice = take_until(rest, ':');
  const auto prefix = take_until(rest, ':');
  if (rest.empty() || std::ranges::count(text, ':') != 2)
    return refuse(text, "is not SLICE:PREFIX:NAME, as --systemd-cgroup needs it");
  const bool is_slice = slice.empty() || (slice.ends_with(".slice") && is_unit_word(slice));
  if (!is_slice || !is_unit_word(prefix) || !is_unit_word(rest))
    return refuse(text, "holds what is not a name of a systemd unit");
  return ScopeName{.slice = std::string(slice),
                   .unit = concat(prefix, prefix.empty() ? "" : "-", rest, ".scope")};
}

}  // namespace userns::frontend
