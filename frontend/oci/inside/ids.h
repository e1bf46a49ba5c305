// The ids of a container: its config's, or those of the caller's own user namespace. Who writes
// maps is decided here; newuidmap and newgidmap judge them.
#pragma once

#include <string_view>

#include "frontend/oci/config/config.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// Of the user namespace that the container makes, or of this process's, as its own ids. Those of
// one that is joined are own_ids() of who is in it.
Result<ChosenIds> ids_of_config(const OciConfig& config);

// What the user namespace of this process maps; outside is what it is inside.
Result<ChosenIds> own_ids();

// Whether processes in the user namespace of this one (a pid, or "self") may not set groups.
Result<bool> is_setgroups_denied(std::string_view who);

}  // namespace userns::frontend
