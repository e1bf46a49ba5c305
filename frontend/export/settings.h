// The settings in an archive that export wrote. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "frontend/spec/config_file.h"
#include "policy/error.h"

namespace userns::frontend {

// The archive's first entry, as a tar has it: "userns-export/settings".
std::string settings_entry(const ConfigFile& config, std::string_view name);

// Settings that a stranger may have written: those that speak of the inside alone are added to
// `config` where it has no opinion. Of the others (a command on the host, a directory of the
// caller's, a network) a note says that they are left out; with `trust` they are taken, too. The
// ids, and the tree's place, are always the new container's own.
Result<void> take_exported(ConfigFile& config, std::string_view text, bool trust,
                           std::vector<std::string>& notes);

}  // namespace userns::frontend
