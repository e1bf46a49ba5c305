#pragma once

#include <string>

namespace userns::frontend {

// What `features` prints: what this runtime does. Source: features.md, features-linux.md.
std::string features_text();

}  // namespace userns::frontend
