// Columns for people: as wide as what stands in them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace userns::frontend {

// A line per row, each with a newline; the first row is the heading. Empty cells show "-". Rows are
// of the same length. Pure.
std::string to_table(std::vector<std::vector<std::string>> rows);

// "3d 4h", "4h 12m", "12m 3s", "3s". Pure.
std::string for_people(std::int64_t seconds);
// "2026-11-30 19:06:41", in the caller's time zone.
std::string time_for_people(std::int64_t seconds_since_1970);
// "1.4G", "312M", "7K". Pure.
std::string size_for_people(std::uint64_t bytes);

}  // namespace userns::frontend
