// What a process has from its parent beside what it is handed: of exec's caller, for a command
// that the monitor starts in the container's cgroup. So a command inherits the same with a cgroup
// as without, where it is the caller's own child.
//
//   inherited = { key "=" value " " } ; value = number [ ":" number ] | number { "," number } ;
//   key       = "nice" | "ioprio" | "policy" | "oom" | "coredump" | "slack" | "thp" | "nnp" |
//               "personality" | "cpus" | "limit" number ;
//
// The table is that of userns-run(1), "What the command inherits". Filters of system calls,
// Landlock, memory policy and ignored signals cannot be handed on: they are those of the start.
#pragma once

#include <string>
#include <string_view>

namespace userns::frontend {

// Of this process.
std::string inherited_state();

// From now on this process has it, as far as it may: a limit or priority that is better than its
// own hard limit or priority needs a privilege, and stays as it is. What makes no sense is passed
// over.
void inherit(std::string_view text);

}  // namespace userns::frontend
