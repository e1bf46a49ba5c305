// Looks at everything that a start needs. Changes nothing; ends what it starts.
#pragma once

#include "frontend/doctor/facts.h"

namespace userns::frontend::doctor {

// Runs as the caller, with the caller's rights. Makes namespaces for trial in a child, asks the
// helpers for their versions, and starts one container. What cannot be found out stays as it is in
// a new Facts.
Facts gather();

}  // namespace userns::frontend::doctor
