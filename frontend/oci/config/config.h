// What a bundle's config.json asks for, typed. Source: OCI runtime-spec 1.2, config.md and
// config-linux.md.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "frontend/oci/config/mount_options.h"
#include "frontend/oci/config/resources.h"
#include "frontend/oci/config/seccomp_rules.h"
#include "frontend/spec/spec.h"
#include "policy/id_range.h"

namespace userns::frontend {

// Each a set of 1 << CAP_*.
struct CapabilitySets {
  std::uint64_t bounding = 0;
  std::uint64_t effective = 0;
  std::uint64_t permitted = 0;
  std::uint64_t inheritable = 0;
  std::uint64_t ambient = 0;
  std::set<std::string> unknown;  // names that are none of a capability: left out of all sets
};

struct OciScheduler {
  std::uint32_t policy = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t flags = 0;
  std::uint64_t runtime = 0;
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};

struct OciProcess {
  bool terminal = false;
  std::optional<std::pair<std::uint16_t, std::uint16_t>> console_size;  // rows, columns
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd = "/";
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  std::optional<mode_t> umask;
  CapabilitySets capabilities;
  std::vector<RlimitWish> rlimits;
  bool no_new_privs = false;
  std::optional<int> oom_score_adj;
  std::optional<int> io_priority;  // as ioprio_set(2) takes it
  std::optional<OciScheduler> scheduler;
};

struct OciMount {
  std::string destination;
  std::string source;
  std::string type;
  MountOptions options;
};

struct OciNamespace {
  std::uint64_t flag = 0;  // CLONE_NEW*
  std::string path;        // empty: a new one
};

struct OciDevice {
  std::string path;
  mode_t type = 0;  // S_IFCHR, S_IFBLK or S_IFIFO
  dev_t number = 0;
  // Of a node that is made; the host's own stays as it is.
  mode_t mode = 0666;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

struct OciHook {
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::optional<std::uint64_t> timeout;  // seconds
};
struct OciHooks {
  std::vector<OciHook> prestart;
  std::vector<OciHook> create_runtime;
  std::vector<OciHook> create_container;
  std::vector<OciHook> start_container;
  std::vector<OciHook> poststart;
  std::vector<OciHook> poststop;
};

struct TimeOffset {
  std::string clock;  // "monotonic" or "boottime"
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

struct OciConfig {
  std::string version;
  std::optional<OciProcess> process;
  std::string root;
  bool root_read_only = false;
  std::optional<std::string> hostname;
  std::optional<std::string> domainname;
  std::vector<OciMount> mounts;
  OciHooks hooks;
  std::vector<std::pair<std::string, std::string>> annotations;

  std::vector<OciNamespace> namespaces;
  std::vector<Extent> uids;
  std::vector<Extent> gids;
  std::vector<TimeOffset> time_offsets;
  std::vector<OciDevice> devices;
  std::string cgroups_path;
  OciResources resources;
  std::vector<std::pair<std::string, std::string>> sysctls;
  std::optional<SeccompRules> seccomp;
  std::uint64_t propagation = 0;  // MS_SHARED, MS_SLAVE, ... of the root; 0: none asked for
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::optional<unsigned long> personality;
  std::string mount_label;  // SELinux's

  [[nodiscard]] const OciNamespace* space(std::uint64_t flag) const {
    for (const auto& one : namespaces)
      if (one.flag == flag) return &one;
    return nullptr;
  }
  // A new one, or one by its path; false: the caller's own.
  [[nodiscard]] bool has(std::uint64_t flag) const { return space(flag) != nullptr; }
  [[nodiscard]] bool makes(std::uint64_t flag) const {
    const auto* const one = space(flag);
    return one != nullptr && one->path.empty();
  }
};

}  // namespace userns::frontend
