// userns-run [OPTIONS] -- COMMAND: a command in a throw-away container.
#pragma once

#include <span>
#include <string_view>

#include "frontend/spec/verb.h"

namespace userns::frontend {

// `words`: the options; `command`: what came after "--". Without `has_command` a shell is run:
// the caller's own in the host's tree, /bin/sh in another. Returns the exit status of
// userns-run(1).
int run_command(std::span<const std::string_view> words, std::span<const std::string_view> command,
                bool has_command);

// Options of a throw-away container that no other has.
std::span<const VerbOption> run_options();

}  // namespace userns::frontend
