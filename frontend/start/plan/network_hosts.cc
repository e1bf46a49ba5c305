#include "frontend/start/plan/network_hosts.h"

#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::string_view kMark = " # userns-run network";

}  // namespace

std::string hosts_with_network(std::string_view present, std::string_view lines) {
  std::string text;
  const auto size = present.size();
  while (!present.empty()) {
    const auto line = take_until(present, '\n');
    if (!line.ends_with(kMark)) text += concat(line, "\n");
  }
  while (text.ends_with("\n\n")) text.pop_back();
  while (!lines.empty()) text += concat(take_until(lines, '\n'), kMark, "\n");
  if (text.size() < size) text.append(size - text.size(), '\n');
  return text;
}

std::string neighbour_name(std::string_view host_name) {
  std::string name(take_until(host_name, '.'));
  std::string lower = name;
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower == "localhost" || lower.starts_with("ip6-") ? std::string{} : name;
}

// FNV-1a.
std::uint32_t hash_of(std::string_view name) {
  std::uint32_t hash = 2166136261;
  for (const char c : name) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619;
  return hash;
}

std::string port_name(unsigned host) { return concat("p", host); }

}  // namespace userns::frontend
