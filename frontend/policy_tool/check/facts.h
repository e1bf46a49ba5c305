// What a policy file is judged against: the accounts, reserved ids, bridges and limits of a host.
// Data only; how they are found out is host_facts.h's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/policy_tool/check/finding.h"
#include "frontend/policy_tool/check/login_defs.h"
#include "policy/cgroup_conf.h"
#include "policy/error.h"
#include "policy/id_range.h"
#include "policy/ids.h"
#include "policy/net_conf.h"

namespace userns::frontend {

// std::ranges::contains, which g++ 12 lacks.
template <class List, class Value, class Projection = std::identity>
bool contains(const List& list, const Value& value, Projection projection = {}) {
  return std::ranges::find(list, value, projection) != std::ranges::end(list);
}

struct Account {
  std::string name;
  std::uint32_t id = 0;
  std::uint32_t group = 0;  // users: the primary one
};

// Ids that are somebody's already.
struct Reserved {
  IdRange range;
  Severity severity;
  std::string_view id;  // of the finding: "system-ids"
  std::string whose;    // "ids of system accounts (below UID_MIN 1000 of /etc/login.defs)"
};

// SUB_UID_DETERMINISTIC, or that of gids: a block for each uid.
struct Deterministic {
  LoginDefs defs;
  std::uint64_t uid_least = 1000;  // UID_MIN, for gids, too
  std::string_view key;            // "SUB_UID_DETERMINISTIC"

  [[nodiscard]] std::optional<IdRange> block_of(std::uint64_t uid) const {
    return deterministic_block(defs, uid_least, uid);
  }
};

// The ids of one kind.
struct IdFacts {
  std::vector<Account> taken;  // users, or groups: sorted by id
  std::vector<Reserved> reserved;
  IdRange delegable = *IdRange::make(100000, 600000001);  // SUB_UID_MIN to SUB_UID_MAX
  std::uint64_t block = 65536;                            // SUB_UID_COUNT; 0: useradd gives none
  std::string_view delegable_name;                        // "SUB_UID_MIN to SUB_UID_MAX"
  std::optional<Deterministic> deterministic;             // login.defs says so
};

struct GroupFacts {
  std::uint32_t id = 0;
  bool has_members = false;  // primary ones among them
};

struct InterfaceFacts {
  std::uint32_t index = 0;
  bool is_bridge = false, up = false, filters_vlans = false;
  std::uint32_t mtu = 0;
};

struct CgroupBase {
  std::string path;
  std::string hierarchy;     // empty: v2; else the v1 controller whose hierarchy it is in
  std::string controllers;   // v2: "cpu io memory"
  bool is_systemds = false;  // and nobody else's to write to
  std::string mount;         // of the hierarchy
};

enum class GuardState : std::uint8_t {
  kUnknown,  // this process may not ask, or nft is not there
  kMissing,
  kOther,    // loaded, from other lines
  kCurrent,  // loaded, from these lines
};

// What only the running machine can say.
struct MachineFacts {
  std::map<std::string, InterfaceFacts, std::less<>> interfaces;
  // Of the packet filter for net.conf, against these lines.
  std::function<GuardState(std::span<const NetLine>)> guard_state;
  std::uint64_t memory = 0, swap = 0, cpus = 0, pids = 0;
  std::vector<std::string> hugepages;  // "2MB"
  std::function<bool(std::string_view device)> has_block_device;
  // The directory that userns-cgroup would use; whether a limit can be set in a v1 hierarchy.
  std::function<Result<CgroupBase>(const CgroupConf&)> cgroup_base;
  std::function<Result<void>(std::string_view controller, const CgroupConf&)> v1_hierarchy;
  std::function<bool(const CgroupBase&, std::string_view path)> has_cgroup;
};

struct HostFacts {
  IdFacts uids, gids;
  std::vector<Finding> login_defs;  // what is wrong with it, and with ids.conf
  // Sources of accounts that they need not list; empty: `taken` has all. Whether somebody said
  // which ranges these use (sssd.conf, smb.conf, ids.conf).
  std::vector<std::string> quiet;
  bool quiet_ranges_known = false;
  std::function<std::optional<Account>(IdKind kind, std::uint32_t id)> ask_id;
  // Whether there is time for one more question; a slow directory is not asked for each id.
  std::function<bool()> may_ask_more;
  std::uint64_t not_asked = 0;  // ids of a grant that there was no time to ask for
  // By name; a directory's users need not be among those that it lists.
  std::function<std::optional<Account>(std::string_view name)> user_by_name;
  std::function<std::optional<Account>(std::uint32_t uid)> user_by_uid;
  std::function<std::optional<GroupFacts>(std::string_view name)> group_by_name;
  std::optional<MachineFacts> machine;  // none: the files are another system's
};

}  // namespace userns::frontend
