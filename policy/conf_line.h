// A line of net.conf(5) or cgroup.conf(5): words with blanks between them.
//
//   file    = { line newline } ;                     (* the last newline may be missing *)
//   line    = [ blanks ] [ word { blanks word } [ blanks ] ] [ comment ] ;
//   word    = { any byte but control characters, blank and "#" } ;
//   comment = "#" { any byte but control characters } ;
//   blanks  = ( " " | tab ) { " " | tab } ;
//
// Pure. The views are into the file's text.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "policy/error.h"

namespace userns {

class ConfLine {
 public:
  ConfLine(std::string_view path, std::string_view line, std::size_t number)
      : path_(path), line_(line), number_(number) {}
  // The next word; empty at the line's end, where it still has a place.
  std::string_view next();
  // `at` is a part of this line; nothing else says where an error is.
  [[nodiscard]] std::unexpected<Error> refuse(std::string_view rule, std::string_view at,
                                              std::string_view what) const;
  [[nodiscard]] std::size_t number() const { return number_; }

 private:
  std::string_view path_, line_;
  std::size_t number_, at_ = 0;
};

// Calls `take` for each line that has a word, up to the first refusal: PATH:LINE:COLUMN: what is
// wrong. `rule` speaks of control characters, so of DOS line ends.
Result<void> each_conf_line(
    std::string_view path, std::string_view text, std::string_view rule,
    const std::function<Result<void>(std::string_view first, ConfLine& line)>& take);

}  // namespace userns
