// Words as execve(2) takes them.
#pragma once

#include <string>
#include <vector>

namespace userns::frontend {

// Valid as long as `words`, which execve(2) does not write to.
inline std::vector<char*> argv_of(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const auto& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));  // NOLINT(*-const-cast): as execve(2) takes it
  argv.push_back(nullptr);
  return argv;
}

}  // namespace userns::frontend
