// The groups that a caller is in.
#pragma once

#include <cstdint>
#include <vector>

#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

class Groups {
 public:
  // Real and supplementary ones of this process: before the drop, which empties them (ST-STATE).
  static Result<Groups> of_caller();
  [[nodiscard]] bool have(std::uint32_t gid) const;

 private:
  std::vector<Gid> gids_;
};

}  // namespace userns
