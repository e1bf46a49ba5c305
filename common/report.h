// The one place that turns an Error into text on stderr.
#pragma once

#include <string_view>

#include "policy/error.h"

namespace userns {

// "newuidmap: TEXT: No such process [IM-OWNER]\n", in one write. Never fails, never allocates
// beyond one line.
void report(std::string_view program, const Error& error);

// The same text without program name and newline.
std::string to_text(const Error& error);

// From now on an allocation that fails says "PROGRAM: out of memory" and exits 1, instead of
// ending in an abort without a word. `program` must live as long as the process.
void exit_when_out_of_memory(const char* program);

}  // namespace userns
