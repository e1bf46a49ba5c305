// The options of one mount of a bundle: what the kernel takes as flags, and what is the file
// system's own. Pure. Source: config.md, "Linux mount options"; mount(8).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

struct MountOptions {
  std::uint64_t set = 0;  // MOUNT_ATTR_*
  std::uint64_t clear = 0;
  std::uint64_t set_below = 0;  // the same for the mount and all below it ("rro")
  std::uint64_t clear_below = 0;
  std::uint64_t propagation = 0;  // MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE; 0: not said
  bool propagation_below = false;
  bool bind = false;
  bool bind_below = false;  // "rbind"
  bool copy_up = false;     // "tmpcopyup": a tmpfs begins with what it covers
  std::string data;         // "mode=755,size=65536k"

  friend bool operator==(const MountOptions&, const MountOptions&) = default;
};

// Fails with the option that this runtime does not do.
Result<MountOptions> parse_mount_options(const std::vector<std::string>& options);

// Names of options that are flags, for `features`.
std::vector<std::string> known_mount_options();

}  // namespace userns::frontend
