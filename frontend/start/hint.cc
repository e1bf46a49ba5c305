#include "frontend/start/hint.h"

#include <array>

#include "common/report.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

struct Clue {
  std::string_view piece;  // of the text
  std::string_view check;
  std::string_view also = {};  // another piece of it
};

// The first that is in the text decides. Rule ids: SECURITY.md.
constexpr std::array kClues{
    Clue{"no_new_privs", "no-new-privs"},
    Clue{"[PR-MISSING]", "newgidmap", "newgidmap: "},
    Clue{"[PR-MISSING]", "userns-net", "userns-net: "},
    Clue{"[PR-MISSING]", "userns-cgroup", "userns-cgroup: "},
    Clue{"[PR-MISSING]", "newuidmap"},
    Clue{"has no subordinate ids in /etc/subgid", "subgid"},
    Clue{"has no subordinate ids", "subuid"},
    Clue{"[IM-RANGE]", "subgid", "newgidmap: "},
    Clue{"[IM-RANGE]", "subuid"},
    Clue{"[SU-", "subuid"},
    Clue{"[TF-", "net-conf", "/net.conf"},
    Clue{"[TF-", "cgroup-conf", "/cgroup.conf"},
    Clue{"[TF-", "subgid", "/etc/subgid"},
    Clue{"[TF-", "subuid"},
    Clue{"[NR-BRIDGE]", "bridge"},
    Clue{"[NR-POLICY]", "net-conf"},
    Clue{"[NC-", "net-conf"},
    Clue{"no way to a cgroup", "cgroup-conf"},
    Clue{"[CG-WRITER]", "cgroup-unit"},
    Clue{"[CG-POLICY]", "cgroup-conf"},
    Clue{"[CC-", "cgroup-conf"},
    Clue{"no systemd user manager", "user-manager"},
    Clue{"--net user needs pasta", "user-network"},
    Clue{"cannot make a user namespace", "userns"},
    Clue{"cannot make the namespaces", "namespaces"},
    Clue{"cannot mount a fresh /proc", "proc"},
    Clue{"cannot mount a fresh /sys", "sys"},
    Clue{"cannot start newuidmap", "newuidmap"},
    Clue{"cannot start newgidmap", "newgidmap"},
    Clue{"cannot start userns-net", "userns-net"},
};

}  // namespace

std::string_view check_for(std::string_view text) {
  for (const auto& clue : kClues)
    if (text.contains(clue.piece) && text.contains(clue.also)) return clue.check;
  return {};
}

void report_failure(const Error& error) {
  const auto text = to_text(error);
  const auto check = check_for(text);
  report("userns-run",
         {.rule = {}, .code = 0, .text = check.empty() ? text : cat(text, " (see ", check, " in userns-run doctor)")});
}

}  // namespace userns::frontend
