// What login.defs(5) says about ids, and what of it is no number or no range. Pure.
//
// A line is KEY, blanks, VALUE; the last line of a key decides, and the rest of a line after "#" is
// ours alone to ignore.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/finding.h"

namespace userns::frontend {

// Standards where the file says nothing, or nothing that counts.
struct LoginDefs {
  std::uint64_t least = 1000, most = 60000;  // UID_MIN, UID_MAX: accounts
  std::uint64_t sub_least = 100000,
                sub_most = 600100000;  // SUB_UID_MIN, SUB_UID_MAX: ids to delegate
};

// `letter`: "U" or "G". What is wrong is added to `found` with its place in `path`: an error where
// a grant would look in another range than the one meant, a warning where only useradd is
// concerned.
LoginDefs read_login_defs(std::string_view path, std::string_view text, std::string_view letter,
                          std::vector<Finding>& found);

}  // namespace userns::frontend
