// userns-run [OPTIONS] -- COMMAND: a command in a throw-away container.
#pragma once

#include <span>
#include <string_view>

namespace userns::frontend {

// `words`: the options; `command`: what came after "--". Without `has_command` a shell is run:
// the caller's own in the host's tree, /bin/sh in another. Returns the exit status of
// userns-run(1).
int run_command(std::span<const std::string_view> words, std::span<const std::string_view> command,
                bool has_command);

}  // namespace userns::frontend
