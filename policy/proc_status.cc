#include "policy/proc_status.h"

#include "policy/text.h"

namespace userns {

std::optional<std::string_view> proc_field(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    auto value = take_until(text, '\n');
    const auto name = take_until(value, ':');
    if (name != key) continue;
    const auto start = value.find_first_not_of(" \t");
    return start == std::string_view::npos ? std::string_view{} : value.substr(start);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> proc_number(std::string_view text, std::string_view key) {
  const auto value = proc_field(text, key);
  if (!value) return std::nullopt;
  return parse_decimal(value->substr(0, value->find_first_of(" \t")));
}

}  // namespace userns
