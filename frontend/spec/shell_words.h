// A command in one line of text, as a shell would take it apart, without anything else that a shell
// does.
//
//   line = { blank } [ word { blank { blank } word } ] { blank } ;
//   word = piece { piece } ;
//   piece = plain | "\" any | "'" { any but "'" } "'" | '"' { any but '"' and "\" | "\" any } '"' ;
//
// Variables, globs, pipes and the like are plain text: who wants them writes sh -c '...'. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

Result<std::vector<std::string>> split_words(std::string_view text);
// split_words(join_words(words)) == words.
std::string join_words(std::span<const std::string> words);

}  // namespace userns::frontend
