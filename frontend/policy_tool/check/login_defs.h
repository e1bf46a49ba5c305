// What login.defs(5) says about ids, and what of it is not a number or no range. Pure.
//
// A line is KEY, blanks, VALUE; the last line of a key decides, and the rest of a line after "#" is
// ours alone to ignore.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/finding.h"
#include "policy/id_range.h"

namespace userns::frontend {

// Standards where the file says nothing, or nothing that counts.
struct LoginDefs {
  std::uint64_t least = 1000, most = 60000;  // UID_MIN, UID_MAX: accounts
  std::uint64_t sub_least = 100000,
                sub_most = 600100000;  // SUB_UID_MIN, SUB_UID_MAX: ids to delegate
  std::uint64_t count = 65536;         // SUB_UID_COUNT
  // SUB_UID_DETERMINISTIC: useradd gives each uid a block of its own, wherever others are. These
  // standards are then others: 65536 to the last id.
  bool deterministic = false;
  bool wraps = false;  // UNSAFE_SUB_UID_DETERMINISTIC_WRAP: and one block to several uids
};

// The block that useradd (shadow 4.20 and later) gives a uid if it is deterministic; none where the
// block would not fit, or only by wrapping round. `uid_least` is UID_MIN, for gids, too.
std::optional<IdRange> deterministic_block(const LoginDefs& defs, std::uint64_t uid_least,
                                           std::uint64_t uid);

// `letter`: "U" or "G". What is wrong is added to `found` with its place in `path`: an error where
// a grant would look in another range than the one meant, a warning where only useradd is
// concerned.
LoginDefs read_login_defs(std::string_view path, std::string_view text, std::string_view letter,
                          std::vector<Finding>& found);

}  // namespace userns::frontend
