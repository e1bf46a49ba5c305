// Which cgroups were made for a container, kept beside its state before they are: `delete` finds
// them even if their maker was killed half way.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

struct CgroupEntry {
  std::string path;
  // How many components at its end were made with it: those go with it, if they are empty.
  unsigned made = 1;
  // Whether it was really made by us. Before that, somebody else may be in it: it is removed if it
  // is empty, and nobody is killed.
  bool is_ours = false;
  // By which it is known again: one that has ended may have left its path to another container.
  std::uint64_t inode = 0;
};

// Who made the cgroup that the container's own is in, for it.
enum class CgroupMaker : std::uint8_t { kNobody, kHelper, kSystemd };

// The container's own in v2 is the first.
struct CgroupNote {
  std::vector<CgroupEntry> entries;
  CgroupMaker maker = CgroupMaker::kNobody;
  std::string name;  // that the maker knows it by
};

// One line each; pure, both.
std::string to_text(const CgroupNote& note);
Result<CgroupNote> parse_cgroup_note(std::string_view text);

}  // namespace userns::frontend
