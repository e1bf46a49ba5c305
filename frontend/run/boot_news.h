// What a booted system says about itself: that it is up, and why it ended.
// Source: systemd's container interface (https://systemd.io/CONTAINER_INTERFACE).
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "common/fd.h"

namespace userns::frontend {

// What one datagram to that socket says: that the system is up. Others than process `init` are not
// believed.
bool says_ready(const Fd& socket, pid_t init);

// Why the process ended that was pid 1 of a pid namespace, by the status of waitpid(2): reboot(2)
// in it kills it with a signal that says what was asked for.
enum class BootEnd : std::uint8_t { kPowerOff, kReboot, kOther };
BootEnd boot_end(int wait_status);

}  // namespace userns::frontend
