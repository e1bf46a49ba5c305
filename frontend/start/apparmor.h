// Which AppArmor profile this process is under.
#pragma once

#include <string>
#include <string_view>

namespace userns::frontend {

// "NAME (MODE)" of the profile, as the kernel says it; empty: none, or no AppArmor.
std::string apparmor_label();

// Whether a profile of this label can refuse: its mode is neither "unconfined" nor "complain".
// Pure.
bool is_enforced(std::string_view label);

// The name without the mode. Pure.
std::string_view profile_name(std::string_view label);

}  // namespace userns::frontend
