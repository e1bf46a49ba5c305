#include "frontend/spec/printable.h"

#include <array>
#include <cstdint>
#include <utility>

namespace userns::frontend {
namespace {

// Ranges of characters that are obeyed or not seen: the categories Cc, Cf, Zl, Zp and the
// variation selectors of the Unicode character database, and what is not a character.
constexpr std::array<std::pair<std::uint32_t, std::uint32_t>, 23> kNotShown{{
    {0x00, 0x1f},     {0x7f, 0x9f},       {0xad, 0xad},       {0x34f, 0x34f},   {0x600, 0x605},
    {0x61c, 0x61c},   {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x115f, 0x1160}, {0x17b4, 0x17b5},
    {0x180b, 0x180f}, {0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f}, {0x3164, 0x3164},
    {0xd800, 0xdfff}, {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0}, {0xfff0, 0xfffb},
    {0xfffe, 0xffff}, {0x1d173, 0x1d17a}, {0xe0000, 0xfffff},
}};

bool shows(std::uint32_t letter) {
  for (const auto& [first, last] : kNotShown)
    if (letter >= first && letter <= last) return false;
  return letter <= 0x10ffff;
}

// How many bytes a character has that begins so, and the bits of it in this byte.
std::pair<std::size_t, std::uint32_t> begin_of(unsigned char byte) {
  if (byte < 0x80) return {1, byte};
  if (byte >= 0xc2 && byte < 0xe0) return {2, byte & 0x1fU};
  if (byte >= 0xe0 && byte < 0xf0) return {3, byte & 0x0fU};
  if (byte >= 0xf0 && byte < 0xf5) return {4, byte & 0x07U};
  return {0, 0};
}

constexpr std::array<std::uint32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};

}  // namespace

Letter first_letter(std::string_view text) {
  auto [size, letter] = begin_of(static_cast<unsigned char>(text.front()));
  if (size == 0 || size > text.size()) return {};
  for (const char c : text.substr(1, size - 1)) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xc0U) != 0x80U) return {};
    letter = letter << 6U | (byte & 0x3fU);
  }
  if (letter < kSmallest.at(size)) return {};
  return {.size = size, .shows = shows(letter)};
}

namespace {

std::string clean(std::string_view text, std::string_view kept) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto letter = first_letter(text);
    if (letter.shows || kept.contains(text.front()))
      out += text.substr(0, letter.size);
    else
      out += '?';
    text.remove_prefix(letter.size);
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return clean(text, ""); }

std::string printable_lines(std::string_view text) { return clean(text, "\n\t"); }

std::string printable_bytes(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c == '\t')
      c = ' ';
    else if (c < ' ' || c > '~')
      c = '?';
  return out;
}

}  // namespace userns::frontend
