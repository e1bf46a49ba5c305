// The processes of a container, and the user namespaces of the machine, by the host's /proc. What
// processes say about themselves (their names and words) is theirs to choose: show it with
// printable_bytes().
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

struct ProcessFacts {
  pid_t pid = 0;
  pid_t inside = 0;       // its number in its own pid namespace; pid, where that is ours
  std::uint32_t uid = 0;  // effective, as this process's user namespace sees it
  std::uint32_t gid = 0;
  ino_t user_namespace = 0;
  ino_t top = 0;  // the container's, as it was asked for
  std::string command;
};

// The user namespace that the container of `init` was started with, wherever `init` is by now.
// Fails where `init` has ended.
Result<ino_t> top_namespace(pid_t init, const Fd& pidfd);

// All processes in these user namespaces, and below them, by one look at /proc. What has ended
// meanwhile is left out.
Result<std::vector<ProcessFacts>> processes_in(std::span<const ino_t> tops);

// Of one that is known to be in `top` though the caller may not see that, as userns-init; nothing
// if it has ended.
std::optional<ProcessFacts> process_in(pid_t pid, ino_t top);

// The same of one container; fails where its `init` has ended.
Result<std::vector<ProcessFacts>> processes_below(pid_t init, const Fd& pidfd);

// Who has locked a file by flock(2), by /proc/locks; nothing where that does not show.
std::optional<pid_t> holder_of_lock(const Fd& file);

// 0: there is none such, or it may not be looked at.
ino_t user_namespace_id(pid_t pid);

// The oldest.
std::optional<pid_t> first_child(pid_t pid);

struct UserNamespace {
  ino_t id = 0;
  ino_t parent = 0;  // 0: not to be seen from here
  std::uint32_t owner = 0;
  pid_t first = 0;  // the lowest process in it
  std::size_t processes = 0;
  std::string command;  // of `first`
};

// All that have a process in them and may be looked at, this process's own included; sorted by id.
Result<std::vector<UserNamespace>> user_namespaces();

}  // namespace userns::frontend
