#pragma once

#include "frontend/oci/config/arguments.h"
#include "policy/error.h"

namespace userns::frontend {

// A failure of ours: on stderr and, with --log, in that file, as engines read it.
void log_failure(const Arguments& told, const Error& error);

// What is passed over, in the same places.
void log_warning(const Arguments& told, const Error& warning);

}  // namespace userns::frontend
