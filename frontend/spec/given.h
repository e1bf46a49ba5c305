// A command line taken apart into options and words, by Boost.Program_options; what is wrong is
// said in our words.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

struct KnownOption {
  std::string_view name;  // without the dashes
  bool flag = false;      // its value is "yes" where none is given, and is never the next word
  char letter = 0;        // "-f"; 0: none
};

struct Given {
  std::string name;  // empty: a word that is not an option
  std::string value;
};

// How an error speaks of the whole: "there is" or "create has" no such option; `help` lists those
// that exist.
struct Speech {
  std::string has;
  std::string help;
};

// In the order of the words. Which options may be given twice, and what their values may be, is the
// caller's.
Result<std::vector<Given>> split_options(std::span<const KnownOption> known,
                                         std::span<const std::string_view> words,
                                         const Speech& speech);

// "name 'value': reason", or without the value where the reason quotes it.
std::string wrong_value(std::string_view name, std::string_view value, std::string_view reason);

}  // namespace userns::frontend
