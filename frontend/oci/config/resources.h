// linux.resources of a bundle, as what is to be written into files of a cgroup. Source:
// config-linux.md, "Control groups"; kernel, cgroup-v2 and cgroup-v1 documents.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace userns::frontend {

// A file of a cgroup. The controller is what comes before its first dot, but where v1 has another
// name for the hierarchy.
struct CgroupFile {
  std::string hierarchy;  // of v1: "memory", "blkio"
  std::string file;       // empty: there is no such file
  std::string text;
};

// One field that asks for something.
struct ResourceWish {
  std::string place;  // "linux.resources.memory.limit"
  std::string file;   // of v2; empty: v2 cannot do it
  std::string text;
  CgroupFile v1;
};

struct OciResources {
  std::vector<ResourceWish> wishes;  // in the order to be written
  // A new memory limit below what is used now is refused.
  bool check_before_update = false;
  std::optional<std::int64_t> memory_limit;
};

}  // namespace userns::frontend
