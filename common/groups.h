// The groups that a caller is in, and whether "@GROUP" of a policy file is one of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "policy/error.h"
#include "policy/ids.h"

namespace userns {

class Groups {
 public:
  // Real and supplementary ones of this process: before the drop, which empties them (ST-STATE).
  static Result<Groups> of_caller();
  [[nodiscard]] bool have(std::uint32_t gid) const;
  // NSS runs inside this process: for programs without privilege. A lookup that fails is "no", and
  // remembered.
  bool contain(std::string_view name);
  // Policy may be applied only where every lookup went well (SU-NAME).
  [[nodiscard]] const std::optional<Error>& failed() const { return failed_; }

 private:
  std::vector<Gid> gids_;
  std::optional<Error> failed_;
};

}  // namespace userns
