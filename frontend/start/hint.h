// A failed start says which check of userns-run doctor has more about it.
#pragma once

#include <string_view>

#include "policy/error.h"

namespace userns::frontend {

// The id of the check that a failure with this text (rule id included) points to; empty: none does.
std::string_view check_for(std::string_view text);

// The error on stderr in one line, with such a hint.
void report_failure(const Error& error);

}  // namespace userns::frontend
