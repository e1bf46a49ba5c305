#pragma once

#include <string>

#include "frontend/start/plan/plan.h"

namespace userns::frontend {

// For people: what --dry-run prints, with a newline at the end of each line.
std::string to_text(const Plan& plan);

}  // namespace userns::frontend
