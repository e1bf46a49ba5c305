// The process that starts a named container and becomes its monitor: userns-run in its own hands.
#pragma once

#include <span>
#include <string_view>

namespace userns::frontend {

// `words`: those of a Handover (frontend/container/handover.h) and the options; `command`: after "--". Returns only
// where the start failed: the exit status, after the failure was reported to whoever waits for it.
int be_starter(std::span<const std::string_view> words, std::span<const std::string_view> command);

}  // namespace userns::frontend
