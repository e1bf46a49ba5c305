// A bundle: a directory with a config.json. Both are a stranger's.
#pragma once

#include <optional>
#include <string>

#include "common/fd.h"
#include "frontend/oci/config/config.h"
#include "frontend/oci/inside/seccomp.h"
#include "policy/error.h"

namespace userns::frontend {

struct Bundle {
  std::string path;  // absolute
  Fd dir;
  std::string text;  // of config.json
  OciConfig config;
  std::optional<SeccompFilter> filter;
};
// For a caller who is not root, a config.json without a user namespace is read as one that lists a
// new one.
Result<Bundle> open_bundle(const std::string& path);

// linux.seccomp, which takes milliseconds: once this program is where it is to be (seal.h).
Result<void> compile_filter(Bundle& bundle);

}  // namespace userns::frontend
