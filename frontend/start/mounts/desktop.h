// The caller's home and desktop for a container: --home, --gpu, --wayland, --x11, --audio.
//
// A socket belongs to the caller, and a container without the caller's id could not connect to it.
// userns-idmap shows directories, not sockets. So each kind has a directory of ours in
// $XDG_RUNTIME_DIR with a hard link to its socket and nothing else, and that directory goes in,
// read-only, idmapped. Nothing else of $XDG_RUNTIME_DIR is to be seen inside, above all not the
// session's bus.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "frontend/spec/spec.h"
#include "policy/error.h"

namespace userns::frontend {

// Turns spec.desktop into binds, variables, a user and groups; `inside` is what the caller is
// called there unless --uid or --gid says otherwise; `notes` is for the caller to read. Makes the
// directories and links, which no container sees unless it asks for them. Fails if something that
// was asked for is not there.
Result<void> add_desktop(Spec& spec, std::uint32_t inside, std::vector<std::string>& notes);

}  // namespace userns::frontend
