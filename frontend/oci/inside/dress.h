// Who the process of a container is: ids, groups, capabilities, limits, filter. All run in it.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/fd.h"
#include "frontend/oci/config/config.h"
#include "frontend/oci/inside/seccomp.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// Of the container's process before it is the command's user: nice, limits, OOM score, personality.
// `oom_score`: its file of that, opened while its /proc was the host's.
Result<void> set_process_values(const OciProcess& process, const Fd& oom_score);

// Takes away all that the process is not to have, for good. Afterwards it is the command's user, in
// its directory, and nothing is open but 0-2, `preserved` more, and `kept`, which closes with the
// exec.
struct Undress {
  const OciProcess& process;
  const std::optional<SeccompFilter>& filter;
  bool may_set_groups = true;
  unsigned preserved = 0;
  int kept = -1;
  std::function<Result<void>(Fd)> hand_on;  // the listener of the filter
};
Result<void> become_command(const Undress& what);

// Where a program is, by the PATH of its own environment; fails as execve(2) would.
Result<std::string> find_program(const OciProcess& process);

}  // namespace userns::frontend
