// What every fuzz target needs: input as text, and a check that ends the run loudly.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace userns {

inline void must(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", property);
  std::abort();
}

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// An argv: the pieces between NULs or newlines.
inline std::vector<std::string_view> as_words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const auto at = text.find_first_of(std::string_view("\0\n", 2));
    words.push_back(text.substr(0, at));
    text = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
  }
  return words;
}

}  // namespace userns
