// Booting a whole system: what is decided before, and what it finds inside when its init begins.
//
// Source: systemd's container interface (https://systemd.io/CONTAINER_INTERFACE).
#pragma once

#include <optional>
#include <string>

#include "common/fd.h"
#include "frontend/start/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// Which init (spec.command, or the one that is found) and what of spec follows from it: the
// command, capabilities that an init must not think it has, a cgroup. Nothing to do where nothing
// is to be booted.
Result<void> plan_boot(Plan& plan);

// In the container's process, in its new root: what says who manages it in /run/host, and its host
// name where one was asked for, because an init takes it from /etc/hostname. For an init that
// speaks sd_notify(3) the socket it is heard by; otherwise none.
Result<Fd> furnish_boot(const Plan& plan);

// What one datagram to that socket says: that the system is up. Others than process `init` are not
// believed.
bool says_ready(const Fd& socket, pid_t init);

// Why the process ended that was pid 1 of a pid namespace, by the status of waitpid(2): reboot(2)
// in it kills it with a signal that says what was asked for.
enum class BootEnd : std::uint8_t { kPowerOff, kReboot, kOther };
BootEnd boot_end(int wait_status);

}  // namespace userns::frontend
