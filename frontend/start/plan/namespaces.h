// The kinds of namespaces, in the order in which they are told of.
#pragma once

#include <sched.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace userns::frontend {

struct NamespaceKind {
  std::uint64_t flag;     // of clone(2)
  std::string_view word;  // of --unshare
  std::string_view file;  // in /proc/PID/ns
};

inline constexpr std::array kNamespaceKinds{NamespaceKind{CLONE_NEWUSER, "user", "user"},
                                            NamespaceKind{CLONE_NEWNS, "mount", "mnt"},
                                            NamespaceKind{CLONE_NEWPID, "pid", "pid"},
                                            NamespaceKind{CLONE_NEWIPC, "ipc", "ipc"},
                                            NamespaceKind{CLONE_NEWUTS, "uts", "uts"},
                                            NamespaceKind{CLONE_NEWNET, "net", "net"},
                                            NamespaceKind{CLONE_NEWCGROUP, "cgroup", "cgroup"},
                                            NamespaceKind{CLONE_NEWTIME, "time", "time"}};

}  // namespace userns::frontend
