// What only the root of a user namespace of the caller's may do, and its owner outside may not.
#pragma once

#include <functional>

#include "common/fd.h"

namespace userns::frontend {

// In a child that goes into the namespace, as user and group 0 there where those are mapped, and
// ends with the act. Nobody inside can look into it (not dumpable), and it is outside of the
// container's pid namespace. False where it could not go in, or the act says so. The namespace may
// have no process left: the fd keeps it.
bool as_root_of(const Fd& user_namespace, const std::function<bool()>& act);

}  // namespace userns::frontend
