// What every fallible function of the suite returns: a value, or an Error that a person can act on.
//
// Errors are values; only a program's main prints and exits (common/report.h turns an Error into
// text). Pure: no I/O, no globals.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace userns {

struct Error {
  // Id of the broken rule ("IM-RANGE"), as listed in SECURITY.md; static storage. Empty where no
  // rule of ours was broken (a system call failed, say).
  std::string_view rule;
  // errno of the failed system call, 0 where none failed.
  int code = 0;
  // What was attempted, on which thing, why it failed and what to do next. One line, no newline,
  // no trailing full stop; text from outside is put in with quoted().
  std::string text;
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(std::string_view rule, std::string text, int code = 0) {
  return std::unexpected(Error{rule, code, std::move(text)});
}

}  // namespace userns
