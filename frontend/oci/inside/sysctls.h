// linux.sysctl: settings of the namespaces that a container has of its own.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/oci/config/config.h"
#include "policy/error.h"

namespace userns::frontend {

// The namespace (CLONE_NEW*) that a setting belongs to; 0: it is the whole machine's, or its name
// is none. Pure.
std::uint64_t space_of_sysctl(std::string_view name);

// `settings`: the host's /proc/sys, whose values are those of the process that looks. A setting of
// a namespace that the container does not have of its own is an error.
Result<void> set_oci_sysctls(const OciConfig& config, const Fd& settings);

}  // namespace userns::frontend
