// What userns-run says to people, and the exit status that goes with it.
#pragma once

#include <string_view>

#include "policy/error.h"

namespace userns::frontend {

// All of `text` on stdout. 0, or own_failure() where it cannot be written (a full disk, a closed
// pipe).
int print(std::string_view text);

// The error on stderr in one line; returns the status of a failure of our own.
int own_failure(const Error& error);

}  // namespace userns::frontend
