// A failed start says which check of userns-run doctor has more about it.
#pragma once

#include <string_view>

#include "policy/error.h"

namespace userns::frontend {

struct Session {
  bool filtered = false;      // a seccomp filter is on this process
  bool no_new_privs = false;  // it disarms setuid programs
  bool bounded = false;       // the bounding set lacks what a helper needs
  bool restricted = false;  // AppArmor takes the rights in user namespaces from programs without a
                            // profile, or this process is under a profile that can refuse
};

// The id of the check that a failure with this text (rule id included) points to; empty: none does.
std::string_view check_for(std::string_view text, const Session& session);

// The error on stderr in one line, with such a hint.
void report_failure(const Error& error);

}  // namespace userns::frontend
