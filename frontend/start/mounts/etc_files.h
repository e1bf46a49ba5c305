// Files in /etc of the container's own root file system that a start sees to: hosts, localtime and,
// of a system that boots, hostname.
//
// They are files of the tree itself, written by the container's root from inside, so that programs
// inside can change and replace them; a mount on them could not be. Nothing is written where what
// is there does already, in the host's own tree (--rootfs /), where the caller mounts something, or
// where it is not a plain file.
#pragma once

#include <string>
#include <string_view>

#include "common/fd.h"
#include "frontend/start/plan/plan.h"
#include "policy/error.h"

namespace userns::frontend {

// The host's facts for it, as the caller.
Result<TimeZone> find_time_zone(const Spec& spec);

// In the container, as its root, after its root file system is /. A tree that cannot be written to
// stays as it is, but for a hosts file that is put on the one that is there. `net`: with what was
// given to its NICs.
Result<void> furnish_etc(const Plan& plan, const NetWish& net);

// Of a container in a network of the caller's, after furnish_etc(): /etc/hosts in memory, with
// `lines` of the network, on the one that is there; open for the process that keeps names in it.
// Not valid() if there is no plain file, or the caller mounted something there. In the host's own
// tree, too.
Result<Fd> share_hosts(const Plan& plan, std::string_view lines);

// False: it could not be written.
bool write_hostname(const Plan& plan);

}  // namespace userns::frontend
