// What is looked at before a judgement: numbers and texts as the system gave them. gather() fills
// it, judge() reads it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/doctor/nic_check.h"

namespace userns::frontend::doctor {

struct Sysctl {
  std::string_view name;  // "user.max_user_namespaces"; static
  std::optional<std::uint64_t> value;
};

// A namespace that was made for trial, in a child: the errno, 0 where it worked.
struct Trial {
  std::string_view what;  // "net"; static
  int code = 0;
};

// pasta or slirp4netns, which is there and was started for trial.
struct NetTrial {
  std::string program;
  std::string path;
  std::string refusal;  // what it said; empty: it works, or was not tried
};

struct Program {
  std::string_view name;  // static
  std::string path;       // that userns-run would run; empty: none is there
  bool is_roots = false;
  bool is_setuid = false;
  bool has_file_caps = false;
  bool on_nosuid = false;
  bool others_write = false;      // its group or others
  bool owner_is_unknown = false;  // its owner has no uid in this user namespace
  bool hangs = false;             // it did not answer in time
  std::string version;            // first line of --version; empty: it said none
};

struct Subids {
  std::string_view id;  // "subuid"; static
  std::string source;
  std::string error;  // of the look-up; empty: none
  std::uint64_t count = 0;
  std::uint64_t unmapped = 0;  // delegated, too, but not ids of this user namespace
  std::uint64_t malformed_line = 0;
  std::string malformed_why;
};

struct PolicyFile {
  std::string path;
  bool is_there = false;
  bool is_safe = true;     // by the helpers' own look at it (TF-PATH, TF-FILE)
  bool is_unseen = false;  // root alone can read it, as its helper does
  std::string error;       // of reading or parsing, in the helpers' words; empty: none
};

struct Bridge {
  std::string name;
  std::uint32_t count = 0;  // NICs that net.conf grants
  bool is_there = false, is_bridge = false, is_up = false;
  bool sets_vlan = false, filters_vlans = false;
  std::uint32_t most_mtu = 0, mtu = 0;  // that lines set (0: none does); its own
  bool locks = false;  // a line for it lacks spoof=allow: its ports have to be locked
  std::size_t ports = 0;
  std::string error;  // of a NIC for trial; empty: it was made, or not tried
};

enum class CgroupLayout : std::uint8_t { kNone, kV1, kHybrid, kV2 };

struct Facts {
  std::string version;  // of userns-run
  std::uint32_t uid = 0;
  std::string login;  // empty: none
  std::string kernel;

  std::vector<Sysctl> sysctls;
  Trial user_namespace{"user", 0};
  std::vector<Trial> namespaces;  // inside it; empty where there is none
  std::optional<Trial> proc_mount, sys_mount;
  std::vector<std::string> over_proc;  // mount points below /proc
  std::string hidepid;                 // option of /proc; empty: none
  std::uint64_t keys_used = 0, keys_most = 0;

  bool no_new_privs = false;
  bool filtered = false;        // by seccomp
  std::uint64_t bounding = 0;   // capabilities
  std::string apparmor;         // label of the profile that this process is under; empty: none
  std::string apparmor_inside;  // of a process of ours that has made a user namespace for trial
  std::string profile;          // file for userns-run in /etc/apparmor.d, where it belongs
  bool profile_is_there = false;
  std::string profile_source;                 // what it can be copied from; empty: nothing
  bool is_nested = false;                     // root of the host has no uid in our user namespace
  bool is_in_ours = false;                    // in a container of userns-run
  std::uint64_t own_ids = ~std::uint64_t{0};  // how many ids this user namespace has
  bool has_proc = true;
  int openat2_code = 0;  // errno of openat2(2), by which all parts open files; 0: it works

  std::vector<Program> programs;  // newuidmap, newgidmap, userns-net, userns-cgroup, in this order
  std::string names_fault;        // why helpers would not start userns-names; empty: they would
  std::string unanswered;  // what the user database was asked for when patience ended (Directory);
                           // empty: it answered
  std::array<Subids, 2> subids;

  PolicyFile net_conf, cgroup_conf;
  std::vector<Bridge> bridges;  // that net.conf grants the caller
  std::string cgroup_limits;    // the line of cgroup.conf that is for the caller, as
                                // "memory.max=..."; empty: none
  std::string
      cgroup_error;  // of entering a cgroup for trial; empty: that went well, or was not tried
  CgroupLayout cgroups = CgroupLayout::kNone;
  bool has_systemd = false;
  bool has_cgroup_unit = false;  // a cgroup of userns-cgroup.service is there
  bool has_own_base = false;     // cgroup.conf names another
  std::string lost_base;         // which is not a directory there; empty: it is
  std::string delegated;         // controllers of the user's own service manager; empty: none

  std::string runtime_dir;  // XDG_RUNTIME_DIR; empty: unset
  bool runtime_dir_is_own = false;
  bool has_user_manager = false;
  bool has_user_bus = false;
  bool lingers = false;  // the service manager stays when the user has logged out

  std::string containers;        // directory of containers
  std::string containers_there;  // the part of it that exists
  bool can_write = false;
  bool noexec = false, nosuid = false;
  std::string remote;  // "NFS"; empty: a local file system
  std::uint64_t free_mib = 0;
  bool no_inodes = false;
  // Of showing a directory there with other ids; empty: it works. None: not tried.
  std::optional<std::string> idmap_error;
  std::string store_error;  // of the look that each verb takes at it; empty: none, or not there yet

  std::string busybox;  // path; empty: not there
  bool busybox_is_static = false;
  bool can_open_tun = false;
  bool has_default_route = false;
  std::vector<NetTrial> user_net;            // in the order of preference
  std::optional<std::string> network_error;  // of a network for trial; empty: it works
  std::vector<NicProblem> nics;              // of the caller's; for root everybody's

  std::string start_error;  // of a container for trial; empty: it ran, or `unanswered` is not
                            // empty: it was not tried
};

}  // namespace userns::frontend::doctor
