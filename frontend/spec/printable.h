// What comes from elsewhere (images, archives, containers, directories, files of others) made safe
// for a terminal: the one printer of the front-end. Pure.
//
// Left alone is UTF-8 that shows something. In place of each other character stands a '?': control
// characters, also those of U+0080 to U+009F, which terminals obey; those that turn the direction
// of a text or are not seen at all, so that it reads as something else; bytes that are not UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace userns::frontend {

// The first character of a text that is not empty.
struct Letter {
  std::size_t size = 1;  // bytes; what is not a UTF-8 is taken byte by byte
  bool shows = false;
};
Letter first_letter(std::string_view text);

// One line of it, or a part of one.
std::string printable(std::string_view text);
// Many lines: newlines and tabs stay.
std::string printable_lines(std::string_view text);
// A column for each byte, for what a caret points at.
std::string printable_bytes(std::string_view text);

}  // namespace userns::frontend
