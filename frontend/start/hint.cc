#include "frontend/start/hint.h"

#include <fcntl.h>
#include <linux/capability.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/fd.h"
#include "frontend/run/apparmor.h"
#include "frontend/spec/tell.h"
#include "policy/proc_status.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

struct Clue {
  std::string_view piece;  // of the text
  std::string_view check;
  std::string_view also = {};  // another piece of it
};

constexpr std::string_view kSaid = " in userns-run doctor)";  // userns-cgroup says it itself

// The first that is in the text decides. Rule ids: SECURITY.md.
constexpr std::array kClues{
    Clue{"[PR-MISSING]", "newgidmap", "newgidmap: "},
    Clue{"[PR-MISSING]", "userns-net", "userns-net: "},
    Clue{"[PR-MISSING]", "userns-cgroup", "userns-cgroup: "},
    Clue{"[PR-MISSING]", "newuidmap"},
    Clue{"[PR-LOCK]", "kernel"},
    Clue{"cannot find newuidmap", "newuidmap"},
    Clue{"cannot find newgidmap", "newgidmap"},
    Clue{"cannot find userns-net", "userns-net"},
    Clue{"cannot find userns-cgroup", "userns-cgroup"},
    Clue{"cannot start newuidmap", "newuidmap"},
    Clue{"cannot start newgidmap", "newgidmap"},
    Clue{"cannot start userns-net", "userns-net"},
    Clue{"cannot start ", "userns-cgroup", "userns-cgroup: "},
    Clue{"has no subordinate ids in /etc/subgid", "subgid"},
    Clue{"has no subordinate gids", "subgid"},
    Clue{"has no subordinate ", "subuid"},
    Clue{"a container is to have ", "subgid", " gids of its own"},
    Clue{"a container is to have ", "subuid", " of its own"},
    Clue{"[IM-RANGE]", "subgid", "newgidmap: "},
    Clue{"[IM-RANGE]", "subuid"},
    Clue{"[SU-", "subuid"},
    Clue{"[TF-", "net-conf", "userns-net: "},
    Clue{"[TF-", "cgroup-conf", "userns-cgroup: "},
    Clue{"[TF-", "subgid", "/etc/subgid"},
    Clue{"[TF-", "subuid"},
    Clue{"[NR-POLICY]", "net-conf"},
    Clue{"[NR-QUOTA]", "net-conf"},
    Clue{"[NC-", "net-conf"},
    Clue{"[NR-BRIDGE]", "bridge"},
    Clue{"[NR-VLAN]", "bridge"},
    Clue{"[NR-MTU]", "bridge"},
    Clue{"[NR-PORT]", "bridge"},
    Clue{"[CG-WRITER]", "cgroup-unit"},
    Clue{"[CG-CONTROLLER]", "cgroups"},
    Clue{"[CG-BASE]", "cgroups"},
    Clue{"[CG-LIMIT]", "cgroup-conf"},
    Clue{"[CG-COUNT]", "cgroup-conf"},
    Clue{"[CG-POLICY]", "cgroup-conf"},
    Clue{"[CC-", "cgroup-conf"},
    Clue{"no way to a cgroup", "cgroup-conf"},
    Clue{"can't be set: this host offers no ", "delegation", "to the user's service manager"},
    Clue{"can't be set: this host offers no ", "cgroups"},
    Clue{"no systemd user manager", "user-manager"},
    Clue{"cannot start systemd-run", "user-manager"},
    Clue{"cannot set up user networking", "user-network"},
    Clue{"cannot make a user namespace", "userns"},
    Clue{"cannot make the namespaces", "namespaces"},
    Clue{"cannot mount a fresh /proc", "proc"},
    Clue{"cannot mount a fresh proc", "proc"},
    Clue{"cannot mount a fresh /sys", "sys"},
    Clue{"cannot mount a fresh sysfs", "sys"},
    Clue{"where containers are ", "containers"},
    Clue{"containers are kept in a directory of one's own", "containers"},
    Clue{"could put files of theirs into containers", "containers"},
    Clue{"no home directory to keep containers in", "containers"},
    Clue{"no container can live in ", "containers"},
    Clue{"install busybox-static", "busybox"},
    Clue{"No space left on device", "containers"},
};

// What is known of the failure points to `check`; why it came about may be the session's.
std::string_view behind(std::string_view check, std::string_view text, const Session& session) {
  const bool refused =
      text.contains("Operation not permitted") || text.contains("Permission denied");
  if (text.contains("[PR-MISSING]") && session.no_new_privs) return "no-new-privs";
  if (text.contains("[PR-MISSING]") && session.bounded) return "bounding-set";
  if (text.contains("Function not implemented")) return session.filtered ? "seccomp" : "kernel";
  if (refused && session.restricted && (check == "userns" || check == "namespaces"))
    return "apparmor-userns";
  if (check.empty() && session.filtered && text.contains("Operation not permitted"))
    return "seccomp";
  return check;
}

std::string text_of(const char* path) {
  const auto file = open_at(AT_FDCWD, path, O_RDONLY);
  return file ? read_all(*file, 64UL << 10U).value_or("") : std::string{};
}

Session this_session() {
  constexpr std::uint64_t kNeeded = 1U << CAP_SETUID | 1U << CAP_SETGID | 1U << CAP_NET_ADMIN;
  const auto status = text_of("/proc/self/status");
  const std::string bounding(proc_field(status, "CapBnd").value_or("ffffffffffffffff"));
  return {.filtered = proc_number(status, "Seccomp").value_or(0) != 0,
          .no_new_privs = proc_number(status, "NoNewPrivs") == 1,
          .bounded = (std::strtoull(bounding.c_str(), nullptr, 16) & kNeeded) != kNeeded,
          .restricted =
              is_enforced(apparmor_label()) ||
              text_of("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").starts_with('1')};
}

}  // namespace

std::string_view check_for(std::string_view text, const Session& session) {
  for (const auto& clue : kClues)
    if (text.contains(clue.piece) && text.contains(clue.also))
      return behind(clue.check, text, session);
  return behind({}, text, session);
}

void report_failure(const Error& error) {
  const auto text = to_text(error);
  const auto check = check_for(text, this_session());
  tell("userns-run",
       {.rule = {},
        .code = 0,
        .text =
            check.empty() || text.contains(kSaid) ? text : concat(text, " (see ", check, kSaid)});
}

}  // namespace userns::frontend
