// The process that starts a named container and becomes its monitor: userns-run in its own hands,
// in a fork or anew.
#pragma once

#include <span>
#include <string_view>

#include "frontend/monitor/handover.h"

namespace userns::frontend {

// Returns only where the start failed: the exit status, after the failure was reported to whoever
// waits for it. The fds that it names are its own from now on; `told.rest` is complete.
int be_starter(const Handover& told);

// The same of a command line: the words of a Handover and the options, and the command that is
// after "--".
int be_starter(std::span<const std::string_view> words, std::span<const std::string_view> command);

}  // namespace userns::frontend
