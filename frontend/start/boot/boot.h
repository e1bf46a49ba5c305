// Booting a whole system: what is decided before, and what it finds inside when its init begins.
//
// Source: systemd's container interface (https://systemd.io/CONTAINER_INTERFACE).
#pragma once

#include <optional>
#include <string>

#include "common/fd.h"
#include "frontend/start/plan/plan.h"
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

}  // namespace userns::frontend
