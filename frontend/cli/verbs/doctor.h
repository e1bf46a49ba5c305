// userns-run doctor: what a start needs, and whether it is there.
#pragma once

#include <array>

#include "frontend/spec/verb.h"

namespace userns::frontend {

inline constexpr std::array kDoctorOptions{VerbOption{"json", "", "for programs"}};
// 0 where nothing failed, else 1.
int run_doctor(const Words& words);

}  // namespace userns::frontend
