// Which signals a process takes no notice of.
#pragma once

#include <sys/types.h>

namespace userns::frontend {

// Whether nothing in the process catches, ignores or blocks the signal. In process 1 of a pid
// namespace it is then lost: the kernel does not apply default actions there.
bool left_to_default(pid_t pid, int number);

}  // namespace userns::frontend
