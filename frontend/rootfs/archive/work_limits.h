// What a process that reads an archive may use of the machine.
#pragma once

#include "policy/error.h"

namespace userns::frontend {

// Of this process: an archive that is made to use up memory meets this first. Lower limits of the
// caller's stay. Deep trees take one or two open directories for each level: so many may be open.
Result<void> bound_the_work();

}  // namespace userns::frontend
