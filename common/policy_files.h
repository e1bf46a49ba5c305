// net.conf(5) or cgroup.conf(5) as it is read: the file, then those of FILE.d.
//
// Of FILE.d those count whose names end in ".conf" and do not begin with ".", in the order of their
// names' bytes. Directory and files are believed by the rules of trusted_file.h; one that is not
// refuses all. The texts are those of one moment. They are read and not interpreted, so that a
// helper can do it before it locks itself down.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"

namespace userns {

struct ConfText {
  std::string path, text;
  bool is_secret = false;  // users cannot read the file
  friend bool operator==(const ConfText&, const ConfText&) = default;
};

// Leaves those names of FILE.d that count, in the order in which they are read.
void keep_conf_names(std::vector<std::string>& names);

class PolicyFiles {
 public:
  static constexpr std::size_t kMost = 64;               // in FILE.d
  static constexpr std::size_t kMostBytes = 1UL << 20U;  // in all of them together

  // `path` is absolute and ours. `rule` speaks of what cannot be listed or read, and of too much;
  // static storage. No file that is not there is among them.
  static Result<std::vector<ConfText>> read(const std::string& path, std::string_view rule);

 private:
  explicit PolicyFiles(std::string_view rule) : rule_(rule) {}
  static Result<std::vector<ConfText>> read_once(const std::string& path, std::string_view rule);
  Result<void> add(const std::string& path);
  Result<void> add_directory(const std::string& directory);

  std::string_view rule_;
  std::size_t bytes_ = 0;
  std::vector<ConfText> texts_;
};

}  // namespace userns
