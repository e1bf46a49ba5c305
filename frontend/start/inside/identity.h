// Who the processes inside are: ids, groups, capabilities, limits. All run in the child.
#pragma once

#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// After the maps: becomes who the container is set up as (its root), with the command's groups.
Result<void> become_setup_user(const Plan& plan);

// The same for files alone: what is opened and made is that user's, but the process can be the
// caller again, whose id may not be mapped.
Result<void> use_files_as_setup_user(const Plan& plan);
Result<void> use_files_as_caller();

// Last: takes away the capabilities that the command is not to have, for good, and becomes its uid
// and gid. Capabilities that were asked to stay stay for a command that is not root, too.
Result<void> become_command_user(const Plan& plan);

Result<void> set_limits(const std::vector<RlimitWish>& wishes);

}  // namespace userns::frontend
