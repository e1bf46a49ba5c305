// Which init a root file system has, and how that one is asked to stop.
//
// Sources: systemd(1), init(8) of sysvinit, runit(8), openrc-init(8), busybox's init.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

enum class InitKind : std::uint8_t { kSystemd, kOpenrc, kSysvinit, kRunit, kBusybox, kOther };

struct FoundInit {
  InitKind kind = InitKind::kOther;
  std::string path;  // inside, as it is to be executed: "/sbin/init", which may be a symbolic link
};

// Looks where kernels and distributions have it. `rootfs`: a directory, not trusted: its symbolic
// links are followed below it only, nothing but regular files is opened, and what is in them is
// only compared. Fails where there is none.
Result<FoundInit> find_init(const Fd& rootfs);

// The same for a program that is named: "/opt/init".
Result<FoundInit> init_at(const Fd& rootfs, const std::string& path);

// By the name of the program that the links lead to and, for one that is called "init", by what
// stands in it. Pure.
InitKind init_kind(std::string_view name, std::string_view content);

// The signal to process 1 that begins an orderly stop. sysvinit knows only ctrl-alt-del, which ends
// in reboot(2) as a rule: whoever sent it knows that a stop was meant. runit's needs what
// furnish_boot() prepares. Pure.
int stop_signal(InitKind kind);

// "systemd", for people and records. Pure.
std::string_view name_of(InitKind kind);

}  // namespace userns::frontend
