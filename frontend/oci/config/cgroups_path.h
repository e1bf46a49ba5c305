// linux.cgroupsPath of a bundle: where its container's cgroup is to be.
#pragma once

#include <string>
#include <string_view>

#include "policy/error.h"

namespace userns::frontend {

// Below the top of the hierarchy (`is_absolute`), or below where this runtime finds fit.
struct CgroupsPath {
  bool is_absolute = false;
  std::string below;  // "a/b", no component of which is empty, "." or ".."; empty: none asked for
};
// Pure, both.
Result<CgroupsPath> parse_cgroups_path(std::string_view text);

// "SLICE:PREFIX:NAME", as systemd's way has it.
struct ScopeName {
  std::string slice;  // empty: the default
  std::string unit;   // "PREFIX-NAME.scope"
};
Result<ScopeName> parse_scope_name(std::string_view text, std::string_view id);

}  // namespace userns::frontend
