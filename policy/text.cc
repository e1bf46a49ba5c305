#include "policy/text.h"

#include <system_error>

namespace userns {

std::optional<std::uint64_t> parse_decimal(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, 10);
  // from_chars takes no sign for unsigned types and skips no space.
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return value;
}

std::string_view why_not_decimal(std::string_view text) {
  if (text.empty()) return "is empty";
  if (text.starts_with("0x") || text.starts_with("0X"))
    return "is hexadecimal: write it in decimal";
  if (text.size() > 1 && text.front() == '0')
    return "starts with 0 (octal elsewhere): write it in decimal";
  if (text.front() == '-' || text.front() == '+') return "has a sign";
  for (const char c : text)
    if (c < '0' || c > '9') return "is not a decimal number";
  return "is too large";
}

std::string Quoted::operator()(std::string_view text) const {
  constexpr std::size_t kLongest = 64;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\'' && c != '\\') {
      out.push_back(c);
      continue;
    }
    out.append("\\x");
    out.push_back(kHex[byte >> 4U]);
    out.push_back(kHex[byte & 0xfU]);
  }
  if (text.size() > kLongest) out.append("...");
  out.push_back('\'');
  return out;
}

std::string_view take_until(std::string_view& text, char separator) {
  const auto at = text.find(separator);
  const auto head = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
  return head;
}

bool is_plain_word(std::string_view text, std::size_t longest) {
  constexpr std::string_view kWordCharacters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.";
  return text.size() <= longest &&
         text.find_first_not_of(kWordCharacters) == std::string_view::npos;
}

}  // namespace userns
