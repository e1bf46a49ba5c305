// Sources: proc(5); net/ipv4/fib_trie.c and net/ipv6/addrconf.c say what the files look like.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "frontend/container/addresses.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

std::string_view without_indent(std::string_view line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  return line;
}

// "fe80000000000000..." as 16 bytes.
std::optional<std::array<unsigned char, 16>> parse_hex(std::string_view text) {
  std::array<unsigned char, 16> bytes{};
  if (text.size() != 2 * bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char* const at = text.data() + 2 * i;
    if (std::from_chars(at, at + 2, bytes[i], 16).ptr != at + 2) return std::nullopt;
  }
  return bytes;
}

}  // namespace

// A leaf is "|-- ADDRESS", and what follows says what the address is: "/32 host LOCAL" is one of
// the machine's own.
std::vector<std::string> ipv4_addresses(std::string_view fib_trie) {
  std::vector<std::string> found;
  std::string leaf;
  while (!fib_trie.empty()) {
    const auto line = without_indent(take_until(fib_trie, '\n'));
    if (line.starts_with("|-- ")) leaf = line.substr(4);
    if (!line.starts_with("/32 host LOCAL") || leaf.starts_with("127.") ||
        leaf.size() > INET_ADDRSTRLEN)
      continue;
    in_addr checked{};
    if (::inet_pton(AF_INET, leaf.c_str(), &checked) == 1 &&
        std::ranges::find(found, leaf) == found.end())
      found.push_back(leaf);
  }
  return found;
}

// ADDRESS INDEX PREFIX SCOPE FLAGS NAME, in hexadecimal; scope 0 is global.
std::vector<std::string> ipv6_addresses(std::string_view if_inet6) {
  std::vector<std::string> found;
  while (!if_inet6.empty()) {
    auto line = take_until(if_inet6, '\n');
    const auto bytes = parse_hex(take_until(line, ' '));
    (void)take_until(line, ' ');
    (void)take_until(line, ' ');
    if (!bytes || take_until(line, ' ') != "00") continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (::inet_ntop(AF_INET6, bytes->data(), text.data(), text.size()) != nullptr)
      found.emplace_back(text.data());
  }
  return found;
}

}  // namespace userns::frontend
