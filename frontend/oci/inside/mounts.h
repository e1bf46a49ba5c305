// The mounts of a bundle, in two halves as frontend/start/mounts/mounts.h has them.
#pragma once

#include <string>
#include <vector>

#include "common/fd.h"
#include "frontend/oci/config/config.h"
#include "policy/error.h"

namespace userns::frontend {

// Trees that are attached nowhere yet.
struct OciSources {
  Fd root;
  std::vector<Fd> steps;    // one per config.mounts; none for what is not a bind
  std::vector<Fd> devices;  // of default_devices(), then of config.devices
};

// What every container has in /dev.
const std::vector<std::string>& default_devices();

// As the caller, in the mount namespace that `bundle` was opened in. A relative path is one below
// it, through no symbolic link; an absolute one is the engine's.
Result<OciSources> open_oci_sources(const OciConfig& config, const Fd& bundle);

// With the rights of the container's root for files: all mounts in their order, devices, covers.
// The root is attached on the host's /.
// `null`: the device of that name, which files are covered with, on a mount of this namespace.
Result<void> build_oci_mounts(const OciConfig& config, OciSources& sources, const Fd& null);

// The root becomes /, and nothing of the host's tree can be reached.
Result<void> enter_oci_root(const OciConfig& config, const Fd& root);

// linux.rootfsPropagation.
Result<void> set_root_propagation(const OciConfig& config);

}  // namespace userns::frontend
