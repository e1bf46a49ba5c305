// Text in and out: strict decimals, concatenation, quoting of foreign text. Locale-free, bounded.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace userns {

// The one spelling of a number that we accept: [1-9][0-9]* or "0". No sign, space, leading zero,
// octal or hex. Nothing on overflow of 64 bits.
std::optional<std::uint64_t> parse_decimal(std::string_view text);

// Why parse_decimal() said no, for an error message: "octal" ambiguity, hex, sign, empty ...
std::string_view why_not_decimal(std::string_view text);

// Foreign text made safe for a terminal and a log: in single quotes, control and non-ASCII bytes
// as \xNN, cut at 64 bytes with "...". An object: of a function, argument-dependent lookup would
// make a choice between it and std::quoted().
struct Quoted {
  std::string operator()(std::string_view text) const;
};
inline constexpr Quoted quoted{};

// Letters, digits, "-", "_" and ".", at most `longest`, or none: goes into what other programs
// read, such as aliases of interfaces, and into messages as it is.
bool is_plain_word(std::string_view text, std::size_t longest);

// Splits off everything up to the first `separator`; the rest stays in `text`. Without a separator
// all of it is taken and `text` is left empty.
std::string_view take_until(std::string_view& text, char separator);

inline void append_piece(std::string& out, std::string_view piece) { out.append(piece); }
inline void append_piece(std::string& out, char piece) { out.push_back(piece); }
template <std::integral Number>
  requires(!std::same_as<Number, char> && !std::same_as<Number, bool>)
void append_piece(std::string& out, Number number) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, number);
  out.append(digits, end.ptr);
}

// concat("fd ", 3, " is not a pidfd"): the pieces one after the other. Pieces: text, char,
// integers.
template <class... Pieces>
std::string concat(const Pieces&... pieces) {
  std::string out;
  (append_piece(out, pieces), ...);
  return out;
}

}  // namespace userns
