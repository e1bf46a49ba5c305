// What tells one system from its copies.
#pragma once

#include <string>
#include <vector>

#include "frontend/spec/config_file.h"
#include "frontend/spec/spec.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// Of a copy's settings: published ports, the host name and the MAC and IP addresses of NICs are the
// other's.
Result<void> forget_places(ConfigFile& config);

// In a copy's tree: the machine id is empty, so that systemd makes one at the next start; each ssh
// host key is made anew (by the host's ssh-keygen) or deleted, and a note says so.
Result<void> renew_identity(const Spec& spec, const ChosenIds& ids, const std::string& name,
                            std::vector<std::string>& notes);

}  // namespace userns::frontend
