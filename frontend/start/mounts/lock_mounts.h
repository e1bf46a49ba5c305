// The flags of a container's mounts, locked: read-only, nodev and nosuid then stay, and no mount
// can be taken away to show what it covers, whatever the container's root does.
//
// The kernel locks them when a mount namespace is copied for another user namespace
// (mount_namespaces(7), "Restrictions on mount namespaces"). A throw-away child makes a user
// namespace below the container's, with a copy of its mounts; that copy is entered and copied back.
// The container's user namespace stays the owner of its mounts, so that its root can go on
// mounting.
#pragma once

#include "frontend/run/channel.h"
#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// In the mount namespace of the container's own, all ids mapped. The process is in another mount
// namespace afterwards, with the same root and, where the caller of this may search it, the same
// working directory ("/" otherwise). What was opened before is on mounts that are no longer there.
//
// The starter is sent the two namespaces that were left behind (Message::Kind::kLeft): whoever lets
// go of one last waits for all CPUs, and the starter has time for that while the command begins.
Result<void> lock_mounts(const Plan& plan, const Channel& channel);

}  // namespace userns::frontend
