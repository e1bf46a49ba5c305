// net.conf(5) or cgroup.conf(5) as it is read: the file, then those of FILE.d.
//
// Of FILE.d those count whose names end in ".conf" and do not begin with ".", in the order of their
// names' bytes. Directory and files are believed by the rules of trusted_file.h; one that is not
// refuses all. Opening and reading are two steps, so that a helper can lock itself down between
// them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"

namespace userns {

struct ConfText {
  std::string path, text;
};

// Leaves those names of FILE.d that count, in the order in which they are read.
void keep_conf_names(std::vector<std::string>& names);

class PolicyFiles {
 public:
  static constexpr std::size_t kMost = 64;               // in FILE.d
  static constexpr std::size_t kMostBytes = 1UL << 20U;  // in all of them together

  // `path` is absolute and ours. `rule` speaks of what cannot be listed or read, and of too much;
  // static storage.
  static Result<PolicyFiles> open(const std::string& path, std::string_view rule);
  // Of what open() returned. No file that is not there is among them.
  static Result<std::vector<ConfText>> read(const Result<PolicyFiles>& files);

 private:
  explicit PolicyFiles(std::string_view rule) : rule_(rule) {}
  Result<void> add(std::string path);
  Result<void> add_directory(const std::string& directory);

  std::string_view rule_;
  std::vector<std::pair<std::string, std::optional<Fd>>> opened_;
};

}  // namespace userns
