// The first process of a container, from the clone to the exec; and the one that `exec` brings in.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/fd.h"
#include "frontend/oci/config/config.h"
#include "frontend/oci/inside/mounts.h"
#include "frontend/oci/inside/seccomp.h"
#include "frontend/run/channel.h"
#include "frontend/start/ids/choose_ids.h"
#include "policy/error.h"

namespace userns::frontend {

// Where a bundle is, and the directory that was found there.
struct BundlePlace {
  const std::string& path;
  Fd dir;
};

// What the starting process hands in.
struct Prepared {
  const OciConfig& config;
  const std::optional<SeccompFilter>& filter;
  ChosenIds ids;
  Channel channel;
  BundlePlace bundle;  // of no use for `exec`
  // Opened by a starter that may search what this process may not: root of its user namespace.
  std::optional<OciSources> sources = {};
  Fd listener;  // `start` comes by it; none for `exec`
  unsigned preserved = 0;
  std::function<std::string(pid_t)> state = {};  // for hooks; the pid is the host's
};

// Never returns. Tells kNamespaces and waits for kGo (text: its pid on the host); kHooks, and the
// same again; kDone where it is set up, and waits for kGo once more: then it is the container that
// `start` finds. A failure is told by kFailure, and ends it.
[[noreturn]] void run_container(Prepared prepared);

// Never returns. In a process that is in the container's namespaces: waits for kGo, then becomes
// config.process; kExec is the last thing that it tells, or kFailure.
[[noreturn]] void run_in_container(Prepared prepared);

}  // namespace userns::frontend
