// A file of a cgroup, read or written at once.
#pragma once

#include <fcntl.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

constexpr std::size_t kLargestCgroupFile = 64UL << 10U;

inline Result<std::string> read_path(int dir, const std::string& path) {
  const auto file = open_at(dir, path.c_str(), O_RDONLY);
  return file ? read_all(*file, kLargestCgroupFile) : std::unexpected(file.error());
}

inline Result<void> write_file(int dir, const std::string& path, std::string_view text) {
  const auto file = open_at(dir, path.c_str(), O_WRONLY);
  return file ? write_once(*file, text) : std::unexpected(file.error());
}

// Those in which nobody is, and which this process may remove.
bool remove_cgroups_below(const Fd& cgroup);

}  // namespace userns::frontend
