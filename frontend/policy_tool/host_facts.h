// What the host, or a directory that holds another system, says: accounts, login.defs, a directory
// service's ranges, interfaces, limits. Nothing is changed; what can't be read is as if it were not
// there.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "frontend/policy_tool/check/facts.h"
#include "policy/cgroup_rules.h"

namespace userns::frontend {

// `root`: "" for the running system, whose accounts NSS knows; else a directory, whose /etc is read
// instead.
HostFacts host_facts(const std::string& root);

// Ranges that sssd.conf(5) and smb.conf(5) take for a directory's accounts.
std::vector<IdRange> sssd_ranges(std::string_view sssd_conf);
std::vector<IdRange> winbind_ranges(std::string_view smb_conf);

InterfaceFacts interface_facts(const std::string& name);
// Where userns-cgroup would make cgroups, and what it could limit there: as it looks for it
// (helpers/cgroup).
Result<CgroupBase> cgroup_base(const CgroupConf& conf, Uid uid);
// Where userns-cgroup would see this process, if it is the user's; else nowhere that matters.
CgroupPlace place_of(const CgroupBase& base, Uid uid);
// CG-CONTROLLER, CG-BASE, TF-PATH.
Result<std::string> v1_base(std::string_view controller, const CgroupConf& conf, Uid uid);

// The text of a file, below `root` (read_policy() of tool.h); empty where it cannot be read.
std::string text_of(const std::string& path, const std::string& root = {});

}  // namespace userns::frontend
