#include "frontend/cli/table.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <string_view>

#include "frontend/spec/printable.h"
#include "policy/text.h"

namespace userns::frontend {

std::string to_table(std::vector<std::vector<std::string>> rows) {
  constexpr std::string_view kNothing = "-";
  for (auto& row : rows)
    for (auto& cell : row) cell = printable(cell);
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 1);
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line.append(2, ' ');
      const std::string_view cell = row[i].empty() ? kNothing : std::string_view(row[i]);
      line += cell;
      if (i + 1 < row.size()) line.append(widths[i] - cell.size(), ' ');
    }
    text += line + "\n";
  }
  return text;
}

std::string for_people(std::int64_t seconds) {
  constexpr std::int64_t kMinute = 60;
  constexpr std::int64_t kHour = 60 * kMinute;
  constexpr std::int64_t kDay = 24 * kHour;
  seconds = std::max<std::int64_t>(seconds, 0);
  if (seconds >= kDay) return concat(seconds / kDay, "d ", seconds % kDay / kHour, "h");
  if (seconds >= kHour) return concat(seconds / kHour, "h ", seconds % kHour / kMinute, "m");
  if (seconds >= kMinute) return concat(seconds / kMinute, "m ", seconds % kMinute, "s");
  return concat(seconds, "s");
}

std::string time_for_people(std::int64_t seconds_since_1970) {
  const auto when = static_cast<std::time_t>(seconds_since_1970);  // 32 bits on some CPUs
  if (when != seconds_since_1970) return concat(seconds_since_1970);
  std::tm parts{};
  std::array<char, 32> text{};
  if (::localtime_r(&when, &parts) == nullptr) return concat(seconds_since_1970);
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts)};
}

std::string size_for_people(std::uint64_t bytes) {
  constexpr std::array<char, 5> kUnits{'K', 'M', 'G', 'T', 'P'};
  if (bytes < 1024) return concat(bytes, "B");
  std::size_t unit = 0;
  std::uint64_t tenths = bytes * 10 / 1024;
  for (; tenths >= 10240 && unit + 1 < kUnits.size(); ++unit) tenths /= 1024;
  if (tenths < 100) return concat(tenths / 10, ".", tenths % 10, kUnits[unit]);
  return concat(tenths / 10, kUnits[unit]);
}

}  // namespace userns::frontend
