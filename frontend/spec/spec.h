// What was asked for: one container to start, typed. The command line and (later) the config file
// of a named container both end here; frontend/start begins here.
//
// Everything in a Spec is checked for form (ranges, names, absolute destinations), not against the
// system: whether an id is delegated or a directory exists is found out by make_plan().
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "policy/id_range.h"

namespace userns::frontend {

// --- ids ------------------------------------------------------------------------------------
// One --map: INSIDE:OUTSIDE:COUNT for uids, gids or both.
struct MapWish {
  enum class Which : std::uint8_t { kUid, kGid, kBoth } which = Which::kBoth;
  Extent extent;
};
// How the container's ids are chosen.
//   auto:  root inside is the first delegated id; a block of 65536 (fewer where fewer are
//   delegated) self:  the caller is 0 inside, and no other id exists; no helper is needed wishes:
//   exactly these extents
//          with keep-id, the caller's own ids are among them: as themselves, or as `inside`
struct MapAuto {
  bool keep_id = false;
  std::optional<std::uint32_t> inside = {};
};
struct MapSelf {};
using Mapping = std::variant<MapAuto, MapSelf, std::vector<MapWish>>;

// Whom the files of a tree belong to: inside() the id inside, outside() the id on disk.
struct BlockIds {
  std::vector<Extent> uids;
  std::vector<Extent> gids;
};

// --- mounts ---------------------------------------------------------------------------------
struct BindWish {
  std::string source;       // on the host; relative to the caller's cwd or absolute
  std::string destination;  // absolute, inside
  bool read_only = false;
  // The caller's files are this uid's and gid's inside, whoever is root there.
  std::optional<std::uint32_t> own_as;
};
struct TmpfsWish {
  std::string destination;  // absolute, inside
  std::string options;      // as the kernel takes them: "size=1048576,mode=0700"
  bool has_mode = false;    // among the options
  bool no_exec = false;
  bool read_only = false;
};
using MountWish = std::variant<BindWish, TmpfsWish>;

// --- network --------------------------------------------------------------------------------
struct IpAddress {
  int family = 0;                        // AF_INET or AF_INET6
  std::array<std::uint8_t, 16> bytes{};  // in network order; the first 4 with AF_INET
};
struct IpSubnet {
  IpAddress address;
  std::uint8_t prefix = 0;  // bits
};
// A NIC on a bridge of the host's. Without an address it has the one that net.conf gives; where
// that gives none it is for a DHCP client inside.
struct NicWish {
  std::string bridge;
  std::string name;  // inside; never empty in a finished Spec
  std::vector<IpSubnet> addresses;
  std::vector<IpAddress> gateways;
  std::vector<IpAddress> dns;
  std::string mac;        // empty: what userns-net computes
  std::uint32_t mtu = 0;  // 0: what the administrator set
};
struct NetNone {};  // a namespace of its own with only loopback, up
struct NetHost {};  // the caller's network namespace
struct NetBridges {
  std::vector<NicWish> nics;  // at least one
};
struct NetUser {             // connections made by a process of the caller's (pasta, slirp4netns)
  std::string network = {};  // shared with other containers of the caller's; empty: none
};
struct NetAuto {};  // the first of: a bridge that policy grants, user, none
using NetWish = std::variant<NetNone, NetHost, NetBridges, NetUser, NetAuto>;

// A line of /etc/hosts.
struct HostWish {
  std::string name;
  std::string address;
};

// A kernel setting of a namespace (CLONE_NEW*) of the container's own.
struct SysctlWish {
  std::string name;  // "net.ipv4.ip_forward"
  std::string value;
  std::uint64_t space = 0;
};

// A port of the host's that leads to one of the container's.
struct PublishWish {
  std::uint16_t host = 0;
  std::uint16_t container = 0;
  bool udp = false;
  std::optional<IpAddress> address = {};  // of the host's; none: all that it has
};

// --- limits ---------------------------------------------------------------------------------
// How the container gets cgroups of its own.
//   helper: userns-cgroup, below the administrator's limits    systemd: a scope of the user's
//   manager auto: the first of them that works    none: it stays where the caller is
enum class CgroupMode : std::uint8_t { kNone, kAuto, kHelper, kSystemd };
struct LimitWish {
  std::string option;  // "--memory 512M", for messages
  std::string file;    // cgroup v2
  std::string text;    // as the file takes it
};

// --- the rest -------------------------------------------------------------------------------
struct EnvWish {
  std::string name;
  std::optional<std::string> value;  // none: taken from the caller's environment
};
struct RlimitWish {
  int resource;        // RLIMIT_*
  std::uint64_t soft;  // RLIM_INFINITY: unlimited
  std::uint64_t hard;
};
enum class TtyMode : std::uint8_t { kAuto, kYes, kNo };
enum class SeccompMode : std::uint8_t { kDefault, kNone };

// Parts of the caller's session that go in.
struct DesktopWish {
  bool home = false;
  bool gpu = false;
  bool wayland = false;
  bool x11 = false;
  bool audio = false;
  [[nodiscard]] bool any() const { return home || gpu || wayland || x11 || audio; }
};

// A line of /etc/passwd and /etc/group, if the id has none there.
struct UserWish {
  std::string name;
  std::uint32_t id = 0;
  std::string home;
  std::string shell;
};

struct Spec {
  std::vector<std::string>
      command;  // at least one word; with boot none: what is found in the rootfs

  Mapping mapping = MapAuto{};
  std::uint32_t uid = 0;  // inside, of the command
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;   // supplementary, inside
  bool keep_groups = false;            // those of the caller's stay, whatever they are inside
  std::vector<std::string> group_add;  // groups of the caller's that are mapped to themselves

  // CLONE_NEW* flags. CLONE_NEWUSER is always in.
  std::uint64_t namespaces = 0;
  NetWish net = NetNone{};
  std::vector<PublishWish> publish;
  bool publish_loopback = false;  // they may lead to the container's own 127.0.0.1, too

  std::string rootfs;  // empty: the host's own tree
  // Of layers, then of rootfs: whose files they are, if not the container's own ids' (an empty one,
  // or none at all). They are shown with the container's ids, and cannot be written to.
  std::vector<BlockIds> layer_blocks;
  std::vector<std::string> layers;  // directories that are shown over rootfs, the topmost first
  bool read_only = false;           // of the root file system
  bool overlay = false;             // writes go to a throw-away upper layer
  std::string changes;              // writes go to this directory's upper/; empty: into rootfs
  std::vector<MountWish> mounts;    // in the order given
  std::uint64_t shm_size = 0;       // bytes; 0: the kernel's choice
  DesktopWish desktop;
  bool user_said = false;        // --uid or --gid: --home changes neither
  std::optional<UserWish> user;  // whom the caller is inside; without a name nobody is to be made

  std::optional<std::string> hostname;
  std::vector<HostWish> add_hosts;
  std::vector<SysctlWish> sysctls;
  std::string time_zone = "host";  // "host", "keep" or a name
  std::vector<EnvWish> env;
  bool clear_env = false;
  std::string cwd;  // inside; empty: the caller's where it exists inside, else /

  std::vector<int> cap_drop;                 // CAP_*
  std::optional<std::vector<int>> cap_keep;  // only these stay
  bool no_new_privs = false;
  bool nesting = false;  // what containers inside need is allowed
  SeccompMode seccomp = SeccompMode::kDefault;
  CgroupMode cgroup = CgroupMode::kNone;
  bool cgroup_unsaid = false;  // nothing asks for one, and nothing forbids it
  std::vector<RlimitWish> rlimits;
  std::vector<LimitWish> limits;  // of the container; then cgroup is not none

  bool boot = false;  // the command, or the init that is found, runs a whole system
  std::optional<std::chrono::milliseconds> wait_ready;  // of the booted system; none: nobody waits

  TtyMode tty = TtyMode::kAuto;
  bool init = false;               // a reaper of ours as pid 1 inside
  std::optional<int> stop_signal;  // none: TERM, or what an init understands
  std::chrono::milliseconds stop_timeout{10000};
  std::chrono::milliseconds hook_timeout{300000};
  bool die_with_parent = false;
  std::string pid_file;        // empty: none
  std::optional<int> info_fd;  // where the JSON goes
  bool wait = false;           // print the pid and wait for a newline before the maps and the exec
  bool dry_run = false;
};

}  // namespace userns::frontend
