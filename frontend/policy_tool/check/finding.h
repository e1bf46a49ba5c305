// What userns-policy check has to say about one place, and how it is shown. Pure.
//
// The ids are listed in userns-policy(8) and do not change their meaning.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace userns::frontend {

enum class Severity : std::uint8_t { kWarning, kError };

struct Finding {
  Severity severity = Severity::kError;
  std::string_view id;     // static: "overlap"
  std::string file;        // as it is to be shown
  std::size_t line = 0;    // from 1; 0: the file itself, or its directory
  std::size_t column = 1;  // in bytes, from 1
  std::size_t length = 1;  // of what is wrong, in bytes
  std::string source;      // the line's text
  std::string what;        // is wrong
  std::string why;         // it matters
  std::string fix;         // what to do; empty where `what` says it
};

// A line of a file, without its newline.
struct TextLine {
  std::size_t number = 0;  // from 1
  std::string_view text;
  std::string_view file;  // as it is to be shown

  [[nodiscard]] bool is(const TextLine& other) const {
    return number == other.number && file == other.file;
  }
};
std::vector<TextLine> lines_of(std::string_view text, std::string_view file = {});
// "line 3", seen from a line of the same file; else "FILE:3".
std::string place_seen_from(const TextLine& line, const TextLine& from);

// A finding at `part`, which is a view into `line`.
Finding finding_at(Severity severity, std::string_view id, const TextLine& line,
                   std::string_view part);

// As compilers do: the place, the line, a caret; then why and what to do.
std::string to_text(const Finding& finding, bool colour);
// One document (userns-policy(8), "JSON"), with a newline.
std::string to_json(std::span<const Finding> findings, std::span<const std::string> files);
// "2 errors, 1 warning"
std::string count_text(std::span<const Finding> findings);
// 0 clean, 1 warnings, 2 errors.
int exit_status(std::span<const Finding> findings);

}  // namespace userns::frontend
