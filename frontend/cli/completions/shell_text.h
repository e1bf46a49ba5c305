// Text of ours in completions that are generated.
#pragma once

#include <string>
#include <string_view>

#include "policy/text.h"

namespace userns::frontend {

// For what stands between single quotes in a specification of _arguments.
inline std::string zsh_text(std::string_view text) {
  std::string safe;
  for (const char letter : text) {
    if (letter == '\'')
      safe += "'\\''";
    else if (letter == '[' || letter == ']' || letter == ':' || letter == '\\')
      safe += concat("\\", letter);
    else
      safe += letter;
  }
  return safe;
}

// A word in single quotes.
inline std::string fish_text(std::string_view text) {
  std::string safe;
  for (const char letter : text) {
    if (letter == '\'' || letter == '\\') safe += '\\';
    safe += letter;
  }
  return concat("'", safe, "'");
}

}  // namespace userns::frontend
