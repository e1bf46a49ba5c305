// What we read from /proc/PID/status and /proc/self/fdinfo/N. Source: proc(5).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace userns {

// The value of the line "KEY:\tVALUE", without leading blanks; nothing where there is no such line.
std::optional<std::string_view> proc_field(std::string_view text, std::string_view key);

// The first number of such a value ("Uid:\t1000\t1000..." is 1000).
std::optional<std::uint64_t> proc_number(std::string_view text, std::string_view key);

}  // namespace userns
