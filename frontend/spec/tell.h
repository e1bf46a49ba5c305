// Errors and notes of the front-end on stderr: always by this function, so that nothing in them
// that comes from elsewhere is obeyed by a terminal.
#pragma once

#include <string_view>

#include "common/report.h"
#include "frontend/spec/printable.h"
#include "policy/error.h"

namespace userns::frontend {

// "program: text"
inline void tell(std::string_view program, const Error& error) {
  report(program, {.rule = {}, .code = 0, .text = printable(to_text(error))});
}

}  // namespace userns::frontend
