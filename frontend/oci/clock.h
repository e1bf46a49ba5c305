#pragma once

#include <string>

namespace userns::frontend {

// As RFC 3339 has it, in UTC: "2026-11-30T20:15:00Z".
std::string time_now();

}  // namespace userns::frontend
