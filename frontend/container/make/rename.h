// userns-run rename: another name for a container that does not run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

// Its snapshots show its files under the new name, and may run. What a killed rename has left
// undone, the same rename does. Returns what else is different now, a line each.
Result<std::vector<std::string>> rename_container(const Store& store, const std::string& from,
                                                  const std::string& to);

}  // namespace userns::frontend
