// Which AppArmor profile this process is under.
#pragma once

#include <string>
#include <string_view>

namespace userns::frontend {

// "NAME (MODE)" of the profile, as the kernel says it; empty: none, or no AppArmor.
std::string apparmor_label();

// Gives up the profile, if it is one that lets a process go (mode "unconfined"). Nothing else has a
// use for that than signals: profiles of other programs take those of unconfined processes alone.
void leave_apparmor_profile();

// Whether a profile of this label can refuse: its mode is neither "unconfined" nor "complain".
// Pure.
bool is_enforced(std::string_view label);

// The name without the mode. Pure.
std::string_view profile_name(std::string_view label);

}  // namespace userns::frontend
