// Opens a policy file that may be believed: only root could have written it or have led us to it.
//
// Rule TF-PATH: every directory and symbolic link on the way is owned by root, and no directory is
// writable by group or others. Rule TF-FILE: the file is regular, owned by root, not writable by
// group or others. "root" is uid 0 of the caller's user namespace. All checks are made on open fds,
// component by component, so nothing can change between check and use. Source: path_resolution(7).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/fd.h"

namespace userns {

// `path` is absolute and ours (compiled in), never the caller's. No value: the file does not exist.
Result<std::optional<Fd>> open_trusted_file(std::string_view path);
// The whole text; empty where there is no file. `rule` speaks where it cannot be read whole, or is
// longer than 1 MiB.
Result<std::string> read_trusted_file(std::string_view path, std::string_view rule);
// The same of what open_trusted_file() returned, which may be long after it.
Result<std::string> read_opened(const Result<std::optional<Fd>>& file, std::string_view path,
                                std::string_view rule);
// As open_trusted_file() for a directory, whose path an administrator wrote.
Result<std::optional<Fd>> open_trusted_directory(std::string_view path);

}  // namespace userns
