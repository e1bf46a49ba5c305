// What containers use, as a table for people and as JSON for programs. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/cli/usage/usage.h"

namespace userns::frontend {

enum class SortKey : unsigned char { kCpu, kMemory, kProcesses, kDisk, kNet, kName };
// "cpu", "memory" ...; and by the key that is pressed.
std::optional<SortKey> sort_key(std::string_view word);
std::optional<SortKey> sort_key_of(char pressed);
std::string_view name_of(SortKey key);

// Of a user, by the administrator: "4.0G", "2048", "200%"; empty: none.
struct UserLimits {
  std::string memory;
  std::string processes;
  std::string cpu;
};

// CPU since the look before, `seconds` ago.
void add_percent(std::vector<Usage>& now, std::span<const Usage> before, double seconds);
// The largest first; those of a user stay together, users by their sums.
void sort_usage(std::vector<Usage>& all, SortKey key, bool by_user);

// Lines with newlines. With `limits` (of users, by name) a tree: user, containers below.
std::string top_table(std::span<const Usage> all, const std::map<std::string, UserLimits>* limits);
std::string top_json(std::span<const Usage> all);

// What fits into so many rows and columns, with this line on top; "\r\n" at the ends.
std::string screen_of(std::string_view head, std::string_view table, std::size_t rows,
                      std::size_t columns);

}  // namespace userns::frontend
