// What a process sees to before it becomes a program in a container.
#pragma once

#include <string>

#include "policy/error.h"

namespace userns::frontend {

// An open directory of the host's leads out of any root file system: fds 0-2 may not be one.
Result<void> refuse_directories();

// A file of the container's, which may be anything: no link leads out, nothing but a regular file
// is read, and not for ever. Empty where there is none.
std::string read_inside(const char* name);

}  // namespace userns::frontend
