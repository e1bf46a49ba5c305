// "Did you mean": the known word that a mistyped one is closest to.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace userns::frontend {

// The word of `known` with the fewest single-letter changes (inserted, dropped, replaced or swapped
// letters), or that `word` is the beginning of; empty where none is close enough to be meant. Pure.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

// "; did you mean BEFORE+nearest()?", or nothing: the end of an error message.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> known,
                         std::string_view before = "");

}  // namespace userns::frontend
