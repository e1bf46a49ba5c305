// Makes namespaces for trial.
#pragma once

#include "frontend/doctor/facts.h"

namespace userns::frontend::doctor {

// Fills user_namespace, namespaces, proc_mount and sys_mount, by a child that makes them and ends.
void probe_namespaces(Facts& facts);

}  // namespace userns::frontend::doctor
