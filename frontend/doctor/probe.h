// Makes namespaces for trial.
#pragma once

#include "frontend/doctor/facts.h"

namespace userns::frontend::doctor {

// Fills user_namespace, namespaces, proc_mount and sys_mount, by a child that makes them and ends.
void probe_namespaces(Facts& facts);

// Fills the refusals of user_net, by starting each program for a child with namespaces of its own,
// if /dev/net/tun and a way out of the host are there; and network_error, by a network for it.
// Tries nothing where these cannot be made.
void probe_user_net(Facts& facts);

}  // namespace userns::frontend::doctor
