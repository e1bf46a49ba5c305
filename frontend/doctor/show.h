// Findings for people and for programs.
#pragma once

#include <string>

#include "frontend/doctor/facts.h"
#include "frontend/doctor/finding.h"

namespace userns::frontend::doctor {

// Aligned under the findings' groups, with a line of counts at the end; every line ends in a
// newline.
std::string to_text(const Facts& facts, const Findings& findings, bool colours);
// {"user":..,"uid":..,"kernel":..,"version":..,"ok":..,"checks":[{"group","id","subject","status","text","fix"}]},
// where a status is pass, note, warn or fail.
std::string to_json(const Facts& facts, const Findings& findings);
// No failure among them.
bool is_well(const Findings& findings);

}  // namespace userns::frontend::doctor
