// What will be done, decided before anything is: the ids, the namespaces, the mounts.
//
// A Plan is data. make_plan() makes it from a Spec and the system's facts, to_text() shows it
// (--dry-run), run() carries it out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "frontend/spec/spec.h"
#include "frontend/start/ids/choose_ids.h"
#include "frontend/start/ids/tree_ids.h"
#include "frontend/start/plan/init_kind.h"

namespace userns::frontend {

// One step of what is mounted inside, in order. Destinations are resolved within the root file
// system (openat2(2), RESOLVE_IN_ROOT) and made where they are missing.
struct MountStep {
  enum class Kind : std::uint8_t {
    kBind,    // source, opened with the caller's rights, with everything mounted below it
    kTmpfs,   // data: mount options
    kProc,    // a fresh one, of the container's pid namespace
    kSys,     // a fresh one, of its network namespace
    kDev,     // a private /dev with the harmless nodes of the host's
    kDevpts,  // a fresh instance
    kMqueue,  // of its ipc namespace
    kCgroup,  // of its cgroup namespace
  } kind;
  std::string source;       // kBind
  std::string destination;  // absolute, inside
  std::string data;         // kTmpfs: "mode=1777"
  bool read_only = false;
  bool optional = false;  // left out where the kernel or a read-only root does not allow it
  bool device = false;    // kBind: the source is a device, where no container can have put it
  std::optional<std::uint32_t> own_as;  // kBind: the caller's files are this id's inside
  std::optional<std::size_t> idmapped;  // kBind: instead of the source, this one of Plan::idmapped
  bool no_exec = false;                 // kTmpfs
  bool resolver = false;                // the host's resolv.conf, so that names resolve inside
  bool shielded = false;  // /proc, /sys: parts that are the kernel's own are covered or read-only
};

// A tree that the starter has mounted with other ids than it has on disk.
struct IdmappedTree {
  std::string source;
  TreeIds ids;
  bool read_only = false;
};

// A system that is booted (spec.boot).
struct Boot {
  FoundInit init;
  std::string uuid;  // 32 hexadecimal digits, the same for the same root file system and caller
};

// tzfile(5); empty: nothing is to be set.
struct TimeZone {
  std::string name;  // "Europe/Berlin"; empty: only the data is known
  std::string data;  // empty: the host has no such zone
};

struct Plan {
  Spec spec;
  ChosenIds ids;
  std::uint64_t namespaces = 0;  // CLONE_NEW*, CLONE_NEWUSER included
  std::uint32_t setup_uid = 0;   // inside; who the container is set up as: 0 where that is mapped
  std::uint32_t setup_gid = 0;
  std::optional<Boot> boot;
  std::string net_why;  // how spec.net was chosen, where it was "auto"; then it is no longer
  std::vector<std::string> notes;  // what the caller is told at the start
  TimeZone zone;
  bool own_root = false;          // a rootfs or an overlay: pivot_root
  bool hosts_tree = false;        // and that is the host's own /: its files are not the container's
  bool host_root = false;         // what belongs to the host's root belongs to an id inside
  bool kept = false;              // by a monitor: its terminal is a console, and not the caller's
  bool joins = false;             // a container that runs already
  bool tty = false;               // the command gets a terminal of its own
  std::vector<MountStep> mounts;  // below the root, in order
  std::vector<IdmappedTree> idmapped;
  // Of spec.layers, then of spec.rootfs: in `idmapped`. Empty: none of them is.
  std::vector<std::optional<std::size_t>> idmapped_layers;
};

// What asks the container to stop. Pure.
int stop_signal(const Plan& plan);

}  // namespace userns::frontend
